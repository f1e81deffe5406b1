"""A proxy that speaks SOCKS 4, 4a and 5, by the standard library alone, for one test.

Says its port first, then a line for each request: what it was asked by and for. Whatever the host,
it connects to the port of this machine that is its argument: the cloud of the test stands there.
"""

import socket
import socketserver
import sys
import threading


def copy(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # One of them has gone.


class Request(socketserver.StreamRequestHandler):
    def handle(self):
        version = self.rfile.read(1)
        if version == b"\5":
            self.five()
        elif version == b"\4":
            self.four()

    def five(self):
        methods = self.rfile.read(self.rfile.read(1)[0])
        who = "nobody"
        if b"\2" in methods:
            self.wfile.write(b"\5\2")
            self.rfile.read(1)
            user = self.rfile.read(self.rfile.read(1)[0]).decode()
            password = self.rfile.read(self.rfile.read(1)[0]).decode()
            self.wfile.write(b"\1\0")
            who = f"{user}:{password}"
        else:
            self.wfile.write(b"\5\0")
        _, command, _, kind = self.rfile.read(4)
        if kind == 1:
            host = socket.inet_ntop(socket.AF_INET, self.rfile.read(4))
        elif kind == 4:
            host = socket.inet_ntop(socket.AF_INET6, self.rfile.read(16))
        else:
            host = self.rfile.read(self.rfile.read(1)[0]).decode()
        port = int.from_bytes(self.rfile.read(2), "big")
        self.relay(f"5 {who} {host} {port}", b"\5\0\0\1" + bytes(6))

    def four(self):
        self.rfile.read(1)
        port = int.from_bytes(self.rfile.read(2), "big")
        address = self.rfile.read(4)
        self.text()
        host = socket.inet_ntop(socket.AF_INET, address)
        if address[:3] == bytes(3):
            host = self.text()
        self.relay(f"4 nobody {host} {port}", b"\0\x5a" + bytes(6))

    def text(self):
        found = b""
        while (byte := self.rfile.read(1)) not in (b"\0", b""):
            found += byte
        return found.decode()

    def relay(self, asked, granted):
        print(f"{asked}\n", end="", flush=True)
        there = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        self.wfile.write(granted)

        back = threading.Thread(target=copy, args=(there, self.connection), daemon=True)
        back.start()
        copy(self.connection, there)
        back.join()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


with Server(("127.0.0.1", 0), Request) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
