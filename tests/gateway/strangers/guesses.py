# PORT NAME CONNECTIONS SECONDS: wrong passwords, as fast as they are answered, on so many connections at once.
import base64, socket, sys, threading, time

server, name, end = ('127.0.0.1', int(sys.argv[1])), sys.argv[2], time.monotonic() + float(sys.argv[4])
counts, lock = {}, threading.Lock()

def read(s):
    """One answer; empty if there is none. And whether the connection is kept."""
    answer = b''
    while b'\r\n\r\n' not in answer:
        more = s.recv(65536)
        if not more:
            return b'', False
        answer += more
    head, body = answer.split(b'\r\n\r\n', 1)
    length = int(head.lower().split(b'content-length: ')[1].split(b'\r\n')[0])
    while len(body) < length:
        body += s.recv(65536)
    return head, b'connection: close' not in head.lower()

def guess():
    n, s = 0, None
    while time.monotonic() < end:
        login = base64.b64encode(f'{name}:wrong{threading.get_ident()}{n}'.encode()).decode()
        n += 1
        try:
            s = s or socket.create_connection(server, timeout=1)
            s.sendall(f'GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\r\n'.encode())
            head, kept = read(s)
            word = head.split(b' ')[1].decode() if head else 'closed'
        except OSError as error:
            word, kept = type(error).__name__, False
        if not kept and s:
            s.close()
            s = None
        with lock:
            counts[word] = counts.get(word, 0) + 1

threads = [threading.Thread(target=guess) for _ in range(int(sys.argv[3]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(counts.get('401', 0))
