# PORT NAME CONNECTIONS SECONDS: wrong passwords, as fast as they are answered, on so many connections at once.
import base64, socket, sys, threading, time

server, name, end = ('127.0.0.1', int(sys.argv[1])), sys.argv[2], time.monotonic() + float(sys.argv[4])
counts, lock = {}, threading.Lock()

def guess():
    n = 0
    while time.monotonic() < end:
        login = base64.b64encode(f'{name}:wrong{threading.get_ident()}{n}'.encode()).decode()
        n += 1
        try:
            s = socket.create_connection(server, timeout=1)
            s.sendall(f'GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\r\n'.encode())
            answer, closed = b'', False
            while not closed:
                more = s.recv(65536)
                answer, closed = answer + more, not more
            word = answer.split(b' ')[1].decode() if answer else 'closed'
        except OSError as error:
            word = type(error).__name__
        s.close()
        with lock:
            counts[word] = counts.get(word, 0) + 1

threads = [threading.Thread(target=guess) for _ in range(int(sys.argv[3]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(counts.get('401', 0))
