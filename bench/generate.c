/* Traffic for the benches: a paced flood of 60-byte UDP frames, a UDP echo, a lone-packet ping.
 *
 *   generate flood IFACE PPS SECONDS FLOWS [dst=MAC] [src=A.B.C.D] [to=A.B.C.D:PORT] [burst=N]
 *   generate echo PORT                       answers every datagram, until killed
 *   generate ping A.B.C.D PORT COUNT [gap=US] one datagram at a time; prints the distribution
 *
 * `flood` holds the offered load by the clock (it spins, give it a core) and sends a frame when it is due,
 * or N frames when N are due.  FLOWS source ports, starting at 1024; past 60,000 the source address moves on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 60, BATCH = 64, PORTS = 60000 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    size_t n = strlen(name);
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], name, n) && argv[i][n] == '=')
            return argv[i] + n + 1;
    return otherwise;
}

static void put16(uint8_t *p, unsigned v) {
    p[0] = v >> 8;
    p[1] = v;
}

static unsigned fold(const uint8_t *p, int len, uint32_t sum) {
    for (int i = 0; i < len; i += 2)
        sum += p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* One Ethernet + IPv4 + UDP frame of 60 bytes with right checksums. */
static void frame_build(uint8_t *f, const uint8_t *dmac, uint32_t saddr, uint32_t daddr, unsigned sport,
                        unsigned dport) {
    memset(f, 0, FRAME);
    memcpy(f, dmac, 6);
    memcpy(f + 6, "\x02\x00\x00\x00\x00\x01", 6);
    put16(f + 12, ETH_P_IP);
    uint8_t *ip = f + 14, *udp = f + 34;
    ip[0] = 0x45;
    put16(ip + 2, FRAME - 14);
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, &saddr, 4);
    memcpy(ip + 16, &daddr, 4);
    put16(ip + 10, fold(ip, 20, 0));
    put16(udp, sport);
    put16(udp + 2, dport);
    put16(udp + 4, FRAME - 34);
    put16(udp + 6, fold(ip + 12, FRAME - 26, 17 + FRAME - 34));
}

static int packet_socket(const char *ifname) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0), buffer = 16 << 20, one = 1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(ifname)};
    if (fd < 0 || !at.sll_ifindex || bind(fd, (void *)&at, sizeof at))
        die(ifname);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    return fd;
}

static int flood(int argc, char **argv) {
    if (argc < 6)
        return 2;
    double pps = atof(argv[3]), seconds = atof(argv[4]);
    unsigned flows = atoi(argv[5]), burst = atoi(option(argc, argv, "burst", "1")), dport = 9;
    uint8_t mac[6] = {2, 0, 0, 0, 0, 2};
    char to[64];
    const char *dst = option(argc, argv, "dst", NULL);
    if (dst && sscanf(dst, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
        return 2;
    snprintf(to, sizeof to, "%s", option(argc, argv, "to", "198.18.0.2:9"));
    char *colon = strchr(to, ':');
    if (colon) {
        *colon = 0;
        dport = atoi(colon + 1);
    }
    uint32_t saddr = ntohl(inet_addr(option(argc, argv, "src", "198.18.0.1"))), daddr = inet_addr(to);
    int fd = packet_socket(argv[2]);
    uint8_t *frames = malloc((size_t)flows * FRAME);
    for (unsigned i = 0; i < flows; i++)
        frame_build(frames + (size_t)i * FRAME, mac, htonl(saddr + i / PORTS), daddr, 1024 + i % PORTS, dport);
    struct iovec iov[BATCH];
    struct mmsghdr msg[BATCH] = {0};
    for (int i = 0; i < BATCH; i++)
        msg[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    uint64_t start = now_ns(), end = start + seconds * 1e9, t, sent = 0, lost = 0;
    unsigned flow = 0;
    while ((t = now_ns()) < end) {
        uint64_t due = pps ? (t - start) * 1e-9 * pps : sent + BATCH;
        if (due < sent + burst)
            continue;
        int n = due - sent > BATCH ? BATCH : due - sent;
        for (int i = 0; i < n; i++, flow = flow + 1 == flows ? 0 : flow + 1)
            iov[i] = (struct iovec){frames + (size_t)flow * FRAME, FRAME};
        for (int i = 0; i < n;) {
            int r = sendmmsg(fd, msg + i, n - i, 0);
            if (r < 0) {
                lost++;
                r = 1;
            }
            i += r;
        }
        sent += n;
    }
    printf("sent %lu refused %lu kpps %.1f\n", sent, lost, sent / ((now_ns() - start) * 1e-6));
    return 0;
}

static int echo(int argc, char **argv) {
    if (argc < 3)
        return 2;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (bind(fd, (void *)&at, sizeof at))
        die("bind");
    for (;;) {
        char buf[65536];
        socklen_t len = sizeof at;
        ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (void *)&at, &len);
        if (n >= 0)
            sendto(fd, buf, n, 0, (void *)&at, len);
    }
}

static int compare(const void *a, const void *b) {
    double x = *(double *)a, y = *(double *)b;
    return x < y ? -1 : x > y;
}

static int ping(int argc, char **argv) {
    if (argc < 5)
        return 2;
    int fd = socket(AF_INET, SOCK_DGRAM, 0), count = atoi(argv[4]), got = 0;
    int gap_us = atoi(option(argc, argv, "gap", "0"));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    struct timeval patience = {.tv_sec = 1};
    to.sin_addr.s_addr = inet_addr(argv[2]);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (void *)&to, sizeof to))
        die("connect");
    double *us = malloc(sizeof *us * count);
    for (int i = 0; i < count; i++) {
        uint64_t t = now_ns(), back = ~t;
        if (send(fd, &t, sizeof t, 0) < 0)
            continue;
        while (recv(fd, &back, sizeof back, 0) > 0 && back != t)
            ;
        if (back == t)
            us[got++] = (now_ns() - t) / 1e3;
        if (gap_us)
            usleep(gap_us);
    }
    if (!got)
        return 1;
    qsort(us, got, sizeof *us, compare);
    printf("answers %d lost %d p50 %.1f p90 %.1f p99 %.1f p999 %.1f max %.1f us\n", got, count - got, us[got / 2],
           us[got * 9 / 10], us[got * 99 / 100], us[(int)(got * .999)], us[got - 1]);
    return 0;
}

int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    int status = !strcmp(word, "flood")  ? flood(argc, argv)
                 : !strcmp(word, "echo") ? echo(argc, argv)
                 : !strcmp(word, "ping") ? ping(argc, argv)
                                         : 2;
    if (status == 2)
        fprintf(stderr, "usage: generate flood IFACE PPS SECONDS FLOWS [dst=MAC] [src=IP] [to=IP:PORT] [burst=N]\n"
                        "       generate echo PORT\n       generate ping IP PORT COUNT [gap=US]\n");
    return status;
}
