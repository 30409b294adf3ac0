# PORT RATE SECONDS: so many connections a second, each closed as soon as its request has been sent.
import socket, sys, time

server, rate, seconds = ('127.0.0.1', int(sys.argv[1])), float(sys.argv[2]), float(sys.argv[3])
begun, count = time.monotonic(), 0
while time.monotonic() - begun < seconds:
    try:
        s = socket.create_connection(server)
        s.sendall(b'PUT /stolen HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx')
        s.close()
    except OSError:
        pass
    count += 1
    time.sleep(max(0, begun + count / rate - time.monotonic()))
print(count)
