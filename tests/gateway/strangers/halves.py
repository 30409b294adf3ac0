# PORT SECONDS: half of a request's head on each of as many connections as there can be, as fast as they are taken.
import collections, socket, sys, time

server, end = ('127.0.0.1', int(sys.argv[1])), time.monotonic() + float(sys.argv[2])
held, count = collections.deque(), 0
while time.monotonic() < end:
    try:
        s = socket.create_connection(server, timeout=1)
        s.sendall(b'GET /file HTTP/1.1\r\nHost: local')
        held.append(s)
        count += 1
    except OSError:
        pass
    if len(held) > 500:
        held.popleft().close()
print(count)
