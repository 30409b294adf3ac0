# The owner's client. PORT SECONDS: a GET every few milliseconds, each on a connection of its own.
# PORT 0 SOURCES...: one connection from each source port, held until standard input ends, then a GET on each.
import socket, sys, time

server = ('127.0.0.1', int(sys.argv[1]))
GET = b'GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n'

def answer(s):
    s.settimeout(30)
    s.sendall(GET)
    return s.recv(65536).split(b' ')[1].decode()

if sys.argv[2] != '0':
    end, counts = time.monotonic() + float(sys.argv[2]), {}
    while time.monotonic() < end:
        s = socket.create_connection(server)
        try:
            status = answer(s)
        except OSError as error:
            status = type(error).__name__
        s.close()
        counts[status] = counts.get(status, 0) + 1
        time.sleep(0.01)
    print(counts)
else:
    held = []
    for port in sys.argv[3:]:
        for _ in range(500):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', int(port)))
                s.connect(server)
                break
            except OSError:
                s.close()
                time.sleep(0.01)
        held.append(s)
    print('connected', flush=True)
    sys.stdin.read()
    for s in held:
        try:
            print(answer(s), end=' ')
        except (OSError, IndexError) as error:
            print(type(error).__name__, end=' ')
