/* The cheapest HTTP/1.1 server that there is: one thread, one epoll, one constant answer to each read.

   For the client-bound scenario: nginx spends more on a request than the programs that are measured with it. A read is
   taken for one request, which holds for GETs without a body that are not pipelined. `GET /count` answers how many
   there were, itself not among them. Argument: the port on 127.0.0.1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] =
    "HTTP/1.1 200 OK\r\nServer: flat\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n"
    "Content-Length: 31\r\nConnection: keep-alive\r\n\r\nthirty-one bytes of an answer.\n";

int main(int count, char **arguments) {
    static struct epoll_event events[1024];
    static char buffer[65536];
    unsigned long requests = 0;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poller = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (count != 2) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 1024, -1);
        for (int at = 0; at < ready; at++) {
            int fd = events[at].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                    event.data.fd = fd;
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
                }
                continue;
            }
            ssize_t got = recv(fd, buffer, sizeof buffer, 0);
            if (got > 10 && !memcmp(buffer, "GET /count", 10)) {
                char told[128], number[32];
                int digits = snprintf(number, sizeof number, "%lu", requests);
                int length = snprintf(told, sizeof told, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", digits, number);
                send(fd, told, (size_t)length, 0);
            } else if (got > 0) {
                requests++;
                send(fd, answer, sizeof answer - 1, 0);
            } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
                close(fd);
            }
        }
    }
}
