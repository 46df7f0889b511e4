/* Traffic for the benches: a paced flood of small or mixed frames, a UDP echo, a lone-packet ping.
 *
 *   generate flood IFACE PPS SECONDS FLOWS [dst=MAC] [src=IP] [to=IP:PORT] [mix=1] [syn=1] [partial=1]
 *                  [first=FLOW] [burst=N] [nap=US]
 *   generate echo PORT                       answers every datagram, until killed
 *   generate ping A.B.C.D PORT COUNT [gap=US] one datagram at a time; prints the distribution
 *
 * `flood` holds the offered load by the clock (it spins, give it a core) and sends a frame when it is due,
 * or N frames when N are due, until PPS x SECONDS are sent (PPS 0: as many as will go).  With `nap` it
 * sleeps in between, and the machine is idle where nobody works.  UDP frames of 60 bytes (IPv6: 62), with
 * `mix` every tenth flow's of 1514; `syn`: TCP SYNs; `partial`: checksums left to the receiver, as veth
 * and virtio hand them over.  IPv6 is written [IP]:PORT.  FLOWS source ports, starting at 1024; past
 * 60,000 the source address moves on.  `first` is the flow to begin with.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, PORTS = 60000 };
enum { SMALL = 60, FULL = 1514, ROOM = 80, MIX = 10 }; /* frames; ROOM: a flow's headers and more */

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

/* What the flows of a flood have in common. */
struct plan {
    double pps, seconds;
    unsigned flows, first, burst, nap_us, dport;
    int v6, mix, syn, partial;
    uint8_t dmac[6], saddr[16], daddr[16]; /* an IPv4 address lies in the last four bytes */
};

static int is_full(const struct plan *o, unsigned flow) {
    return o->mix && flow % MIX == MIX - 1;
}

static unsigned l4_at(const struct plan *o) {
    return 14 + (o->v6 ? 40 : 20);
}

static unsigned headers_len(const struct plan *o) {
    return l4_at(o) + (o->syn ? 20 : 8);
}

static unsigned frame_len(const struct plan *o, unsigned flow) {
    if (is_full(o, flow))
        return FULL;
    return headers_len(o) < SMALL ? SMALL : headers_len(o);
}

/* The last 32 bits of the source address count the blocks of ports. */
static void source_of(const struct plan *o, unsigned flow, uint8_t *address) {
    uint32_t last;
    memcpy(address, o->saddr, 16);
    memcpy(&last, address + 12, 4);
    last = htonl(ntohl(last) + flow / PORTS);
    memcpy(address + 12, &last, 4);
}

static void ip_build(const struct plan *o, uint8_t *ip, const uint8_t *saddr, unsigned l4_len) {
    unsigned proto = o->syn ? IPPROTO_TCP : IPPROTO_UDP;
    if (o->v6) {
        ip[0] = 0x60;
        put16(ip + 4, l4_len);
        ip[6] = proto;
        ip[7] = 64;
        memcpy(ip + 8, saddr, 16);
        memcpy(ip + 24, o->daddr, 16);
        return;
    }
    ip[0] = 0x45;
    put16(ip + 2, 20 + l4_len);
    ip[8] = 64;
    ip[9] = proto;
    memcpy(ip + 12, saddr + 12, 4);
    memcpy(ip + 16, o->daddr + 12, 4);
    put16(ip + 10, fold(ip, 20, 0));
}

/* The headers of one flow's frame; what follows them is zeros, which add nothing to a checksum.
 * Padding of a frame that is too short for Ethernet belongs to the payload. */
static void frame_build(const struct plan *o, unsigned flow, uint8_t *f) {
    uint8_t saddr[16], *ip = f + 14, *l4 = f + l4_at(o);
    unsigned l4_len = frame_len(o, flow) - l4_at(o), proto = o->syn ? IPPROTO_TCP : IPPROTO_UDP;
    memset(f, 0, ROOM);
    memcpy(f, o->dmac, 6);
    memcpy(f + 6, "\x02\x00\x00\x00\x00\x01", 6);
    put16(f + 12, o->v6 ? ETH_P_IPV6 : ETH_P_IP);
    source_of(o, flow, saddr);
    ip_build(o, ip, saddr, l4_len);
    put16(l4, 1024 + flow % PORTS);
    put16(l4 + 2, o->dport);
    if (o->syn) {
        put16(l4 + 6, 1000); /* sequence number */
        l4[12] = 0x50;
        l4[13] = 2;
        put16(l4 + 14, 8192);
    } else {
        put16(l4 + 4, l4_len);
    }
    uint8_t *pseudo = o->v6 ? ip + 8 : ip + 12;
    unsigned sum = fold(pseudo, o->v6 ? 32 : 8, proto + l4_len), at = o->syn ? 16 : 6;
    if (o->partial)
        put16(l4 + at, ~sum & 0xffff);
    else
        put16(l4 + at, fold(l4, headers_len(o) - l4_at(o), ~sum & 0xffff));
}

static int packet_socket(const char *ifname, int vnet) {
    int fd = socket(AF_PACKET, SOCK_RAW, 0), buffer = 16 << 20, one = 1;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(ifname)};
    if (fd < 0 || !at.sll_ifindex || bind(fd, (void *)&at, sizeof at))
        die(ifname);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    if (vnet && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one))
        die("PACKET_VNET_HDR");
    return fd;
}

static unsigned number(int argc, char **argv, const char *name) {
    return atoi(option(argc, argv, name, "0"));
}

static int address(const char *text, int v6, uint8_t *into) {
    memset(into, 0, 16);
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? into : into + 12) == 1;
}

/* Fill in the plan; 0 if a word of it makes no sense. */
static int plan_read(int argc, char **argv, struct plan *o) {
    static const uint8_t nobody[6] = {2, 0, 0, 0, 0, 2};
    const char *mac = option(argc, argv, "dst", NULL);
    uint8_t *m = o->dmac;
    char to[64];
    o->pps = atof(argv[3]);
    o->seconds = atof(argv[4]);
    o->flows = atoi(argv[5]);
    o->first = number(argc, argv, "first");
    o->burst = atoi(option(argc, argv, "burst", "1"));
    o->nap_us = number(argc, argv, "nap");
    o->mix = number(argc, argv, "mix");
    o->syn = number(argc, argv, "syn");
    o->partial = number(argc, argv, "partial");
    memcpy(m, nobody, 6);
    if (mac && sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6)
        return 0;
    snprintf(to, sizeof to, "%s", option(argc, argv, "to", "198.18.0.2:9"));
    char *colon = strrchr(to, ':'), *end = strchr(to, ']');
    if (!colon || o->flows < 1 || o->first >= o->flows)
        return 0;
    *colon = 0;
    o->dport = atoi(colon + 1);
    o->v6 = to[0] == '[' && end;
    if (o->v6)
        *end = 0;
    return address(to + o->v6, o->v6, o->daddr) &&
           address(option(argc, argv, "src", o->v6 ? "fd00::1" : "198.18.0.1"), o->v6, o->saddr);
}

/* Where a batch's frames are: a virtio header for all, each flow's headers, zeros behind them. */
struct batch {
    uint8_t *frames;
    struct virtio_net_hdr vnet;
    struct iovec iov[BATCH][3];
    struct mmsghdr msg[BATCH];
};

static struct batch *batch_new(const struct plan *o) {
    static uint8_t zeros[FULL];
    struct batch *b = calloc(1, sizeof *b);
    if (!b || !(b->frames = calloc(o->flows, ROOM)))
        die("flows");
    b->vnet = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = l4_at(o), .csum_offset = o->syn ? 16 : 6};
    for (int i = 0; i < BATCH; i++) {
        b->iov[i][0] = (struct iovec){&b->vnet, sizeof b->vnet};
        b->iov[i][2].iov_base = zeros;
        int front = o->partial ? 0 : 1;
        b->msg[i].msg_hdr = (struct msghdr){.msg_iov = &b->iov[i][front], .msg_iovlen = 3 - front};
    }
    return b;
}

/* Send the next `n` flows; return how many the kernel refused. */
static unsigned batch_send(struct batch *b, const struct plan *o, int fd, unsigned *flow, int n) {
    unsigned refused = 0, head = headers_len(o);
    for (int i = 0; i < n; i++, *flow = *flow + 1 == o->flows ? 0 : *flow + 1) {
        uint8_t *frame = b->frames + (size_t)*flow * ROOM;
        if (!frame[12]) /* the first byte of its protocol: not yet built */
            frame_build(o, *flow, frame);
        b->iov[i][1] = (struct iovec){frame, head};
        b->iov[i][2].iov_len = frame_len(o, *flow) - head;
    }
    for (int i = 0; i < n;) {
        int r = sendmmsg(fd, b->msg + i, n - i, 0);
        if (r < 0) {
            refused++;
            r = 1;
        }
        i += r;
    }
    return refused;
}

static void sleep_until(uint64_t ns) {
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int flood(int argc, char **argv) {
    struct plan o = {0};
    if (argc < 6 || !plan_read(argc, argv, &o))
        return 2;
    int fd = packet_socket(argv[2], o.partial);
    struct batch *b = batch_new(&o);
    uint64_t start = now_ns(), end = start + o.seconds * 1e9, t, sent = 0, refused = 0;
    uint64_t total = o.pps * o.seconds;
    unsigned flow = o.first;
    while (t = now_ns(), total ? sent < total : t < end) {
        uint64_t due = total ? (t - start) * 1e-9 * o.pps : sent + BATCH;
        if (total && due > total)
            due = total;
        if (due < sent + o.burst && due != total) {
            if (o.nap_us)
                sleep_until(t + o.nap_us * 1000ull);
            continue;
        }
        int n = due - sent > BATCH ? BATCH : due - sent;
        refused += batch_send(b, &o, fd, &flow, n);
        sent += n;
    }
    printf("sent %lu refused %lu kpps %.1f next %u\n", sent, refused, sent / ((now_ns() - start) * 1e-6), flow);
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
        fprintf(stderr, "usage: generate flood IFACE PPS SECONDS FLOWS [dst=MAC] [src=IP] [to=IP:PORT] [mix=1] [syn=1]\n"
                        "                      [partial=1] [first=FLOW] [burst=N] [nap=US]\n"
                        "       generate echo PORT\n       generate ping IP PORT COUNT [gap=US]\n");
    return status;
}
