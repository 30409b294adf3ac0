# PORT: nonces without number, on one connection, until the input ends.
import select, socket, sys

s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
n = 0
print('knocking', flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    batch = b''.join(b'GET /.s3dav/knock/x%d HTTP/1.1\r\nHost: localhost\r\n\r\n' % (n + i) for i in range(200))
    n += 200
    s.sendall(batch)
    seen = 0
    while seen < 200:
        seen += s.recv(1 << 20).count(b'HTTP/1.1 ')
print(n)
