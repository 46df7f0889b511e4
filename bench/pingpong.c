/* Request and response over TCP: one connection, one small message under way at a time.
 *
 *   pingpong serve PORT                 answers what it gets, every connection in a process of its own
 *   pingpong ask ADDRESS PORT COUNT     prints the distribution of the round trips
 *
 * Both send at once (TCP_NODELAY).  The first WARM round trips are not counted.
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 64, WARM = 50 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void at_once(int fd) {
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        die("TCP_NODELAY");
}

static void answer(int fd) {
    char buf[65536];
    ssize_t n;
    at_once(fd);
    while ((n = recv(fd, buf, sizeof buf, 0)) > 0)
        if (send(fd, buf, n, MSG_NOSIGNAL) != n)
            break;
    _exit(0);
}

static _Noreturn void serve(int port) {
    int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1, zero = 0, client;
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    signal(SIGCHLD, SIG_IGN);
    if (bind(fd, (void *)&at, sizeof at) || listen(fd, 64))
        die("listen");
    for (;;) {
        if ((client = accept(fd, NULL, NULL)) < 0)
            continue;
        if (!fork())
            answer(client);
        close(client);
    }
}

static int connected(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *at;
    struct timeval patience = {.tv_sec = 2};
    if (getaddrinfo(host, port, &hints, &at))
        die(host);
    int fd = socket(at->ai_family, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen))
        die("connect");
    at_once(fd);
    return fd;
}

static int compare(const void *a, const void *b) {
    double x = *(double *)a, y = *(double *)b;
    return x < y ? -1 : x > y;
}

static int ask(const char *host, const char *port, int count) {
    int fd = connected(host, port);
    char message[MESSAGE] = "";
    double *us = malloc(sizeof *us * count);
    for (int i = -WARM; i < count; i++) {
        double t = now_us();
        if (send(fd, message, MESSAGE, 0) != MESSAGE || recv(fd, message, MESSAGE, MSG_WAITALL) != MESSAGE)
            die("no answer");
        if (i >= 0)
            us[i] = now_us() - t;
    }
    qsort(us, count, sizeof *us, compare);
    printf("answers %d p50 %.1f p90 %.1f p99 %.1f max %.1f us\n", count, us[count / 2], us[count * 9 / 10],
           us[count * 99 / 100], us[count - 1]);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve"))
        serve(atoi(argv[2]));
    if (argc == 5 && !strcmp(argv[1], "ask") && atoi(argv[4]) > 0)
        return ask(argv[2], argv[3], atoi(argv[4]));
    fprintf(stderr, "usage: pingpong serve PORT\n       pingpong ask ADDRESS PORT COUNT\n");
    return 2;
}
