/* Ring experiments: two interfaces, frames of either leave by the other; every way of doing it by one program.
 *
 *   ringlab IFA IFB SECONDS [rx=small|big|v3|peek] [tx=mmsg|one|ring2|ring3] [wait=poll|spin|nap:US|adapt:US]
 *           [slots=N] [slot=BYTES] [reserve=BYTES] [bypass]
 *
 * rx   small: V2, slots for the MTU, larger frames by recv() from the copy queue; big: V2, 68 KiB slots;
 *      v3: 1 MiB blocks, 1 ms timer; peek: the same, but the open block is read while it fills
 * tx   mmsg: sendmmsg from ring memory, a socket per interface; one: the same through a single unbound socket;
 *      ring2, ring3: a copy into a transmit ring
 * wait what is done when there is nothing: poll; spin; sleep US then look; adapt: docs/rings.md
 * The answer is in docs/rings.md, the product in lbfast/_fast/ring.*; this program only compares.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
enum { BATCH = 64, VNET = 10, BIG = 69632, BLOCK3 = 1 << 20, BLOCKS3 = 32, TXSLOTS = 256 };
enum { SMALL, BIGSLOT, V3, PEEK };
enum { MMSG, ONE, RING2, RING3 };
enum { POLL, SPIN, NAP, ADAPT };

static struct {
    int rx, tx, wait, bypass;
    long nap_ns;
    unsigned slots, slot, block, per_block, reserve;
} how = {.slots = 1024, .slot = 1984, .reserve = 126, .nap_ns = 200000};

typedef struct {
    int fd, tfd, ifindex;
    uint8_t *ring, *tx, *copy;
    unsigned at, txat, queued, seen;
    uint8_t *next; /* peek: next packet of the open block */
    struct mmsghdr msg[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_ll to;
} port_t;

static uint64_t frames, bytes, calls, waits, naps, errors, copied, cut;
static volatile sig_atomic_t stopping;

static void on_alarm(int sig) {
    (void)sig;
    stopping = 1;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void option(int fd, int name, int value) {
    if (setsockopt(fd, SOL_PACKET, name, &value, sizeof value))
        die("packet option");
}

static void *ring_map(int fd, int option_name, int v3, unsigned block, unsigned blocks, unsigned slot, unsigned slots) {
    struct tpacket_req3 r = {block, blocks, slot, slots, v3 && option_name == PACKET_RX_RING ? 1 : 0, 0, 0};
    if (setsockopt(fd, SOL_PACKET, option_name, &r, v3 ? sizeof r : sizeof(struct tpacket_req)))
        die("ring");
    void *at = mmap(NULL, (size_t)block * blocks, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        die("mmap");
    return at;
}

static void port_open(port_t *p, const char *ifname) {
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    int buffer = 64 << 20;
    p->ifindex = at.sll_ifindex = if_nametoindex(ifname);
    p->fd = socket(AF_PACKET, SOCK_RAW, 0);
    option(p->fd, PACKET_VERSION, how.rx >= V3 ? TPACKET_V3 : TPACKET_V2);
    option(p->fd, PACKET_VNET_HDR, 1);
    option(p->fd, PACKET_RESERVE, how.reserve);
    option(p->fd, PACKET_IGNORE_OUTGOING, 1);
    if (how.rx == SMALL)
        option(p->fd, PACKET_COPY_THRESH, 1);
    setsockopt(p->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (how.rx >= V3) {
        p->ring = ring_map(p->fd, PACKET_RX_RING, 1, BLOCK3, BLOCKS3, 2048, BLOCK3 / 2048 * BLOCKS3);
    } else {
        if (how.rx == BIGSLOT)
            how.slot = how.block = BIG, how.slots = 512;
        else
            how.block = 1 << 16;
        how.per_block = how.block / how.slot;
        how.slots = how.slots / how.per_block * how.per_block;
        p->ring = ring_map(p->fd, PACKET_RX_RING, 0, how.block, how.slots / how.per_block, how.slot, how.slots);
    }
    p->copy = malloc((size_t)BATCH * BIG);
    struct packet_mreq all = {.mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    setsockopt(p->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all);
    if (bind(p->fd, (void *)&at, sizeof at))
        die(ifname);
    at.sll_protocol = 0;
    p->to = at;
    p->tfd = socket(AF_PACKET, SOCK_RAW, 0);
    if (how.tx >= RING2)
        option(p->tfd, PACKET_VERSION, how.tx == RING3 ? TPACKET_V3 : TPACKET_V2);
    option(p->tfd, PACKET_VNET_HDR, 1);
    if (how.bypass)
        option(p->tfd, PACKET_QDISC_BYPASS, 1);
    setsockopt(p->tfd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
    if (how.tx >= RING2) {
        option(p->tfd, PACKET_LOSS, 1);
        p->tx = ring_map(p->tfd, PACKET_TX_RING, how.tx == RING3, BIG, TXSLOTS, BIG, TXSLOTS);
    }
    if (how.tx != ONE && bind(p->tfd, (void *)&at, sizeof at))
        die(ifname);
    for (int i = 0; i < BATCH; i++) {
        p->msg[i].msg_hdr = (struct msghdr){.msg_iov = &p->iov[i], .msg_iovlen = 1};
        if (how.tx == ONE)
            p->msg[i].msg_hdr.msg_name = &p->to, p->msg[i].msg_hdr.msg_namelen = sizeof p->to;
    }
}

static void wait_writable(int fd) {
    struct pollfd f = {fd, POLLOUT, 0};
    poll(&f, 1, 1);
}

static void flush(port_t *p) {
    unsigned i = 0;
    if (p->queued && how.tx >= RING2) {
        calls++;
        if (send(p->tfd, NULL, 0, MSG_DONTWAIT) < 0 && errno != EAGAIN)
            errors++;
    }
    while (how.tx < RING2 && i < p->queued) {
        int n = sendmmsg(p->tfd, p->msg + i, p->queued - i, MSG_DONTWAIT);
        calls++;
        if (n > 0)
            i += n;
        else if (errno == EAGAIN || errno == ENOBUFS)
            wait_writable(p->tfd);
        else
            errors++, i++;
    }
    p->queued = 0;
}

/* A slot of a transmit ring: a copy of the frame and its virtio-net header. */
static void push_ring(port_t *p, uint8_t *data, unsigned len) {
    uint8_t *slot = p->tx + (size_t)BIG * p->txat;
    int v3 = how.tx == RING3;
    uint32_t *status = v3 ? &((struct tpacket3_hdr *)slot)->tp_status : &((struct tpacket2_hdr *)slot)->tp_status;
    while (__atomic_load_n(status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE) {
        p->queued++;
        flush(p);
        if (__atomic_load_n(status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE)
            wait_writable(p->tfd);
    }
    memcpy(slot + (v3 ? 48 : 32), data - VNET, len + VNET);
    if (v3)
        ((struct tpacket3_hdr *)slot)->tp_len = len + VNET, ((struct tpacket3_hdr *)slot)->tp_next_offset = 0;
    else
        ((struct tpacket2_hdr *)slot)->tp_len = len + VNET;
    __atomic_store_n(status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
    p->txat = (p->txat + 1) % TXSLOTS;
    if (++p->queued == 32)
        flush(p);
}

static void push(port_t *p, uint8_t *data, unsigned len) {
    frames++;
    bytes += len;
    if (how.tx >= RING2) {
        push_ring(p, data, len);
        return;
    }
    p->iov[p->queued] = (struct iovec){data - VNET, len + VNET};
    if (++p->queued == BATCH)
        flush(p);
}

static struct tpacket2_hdr *slot2(port_t *p, unsigned i) {
    return (void *)(p->ring + (size_t)(i / how.per_block) * how.block + (size_t)(i % how.per_block) * how.slot);
}

static int drain2(port_t *in, port_t *out) {
    struct tpacket2_hdr *held[BATCH];
    int n = 0;
    for (; n < BATCH; n++) {
        struct tpacket2_hdr *h = slot2(in, in->at);
        uint32_t status = __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
        if (!(status & TP_STATUS_USER))
            break;
        __builtin_prefetch((uint8_t *)slot2(in, (in->at + 3) % how.slots) + how.reserve + 66);
        uint8_t *data = (uint8_t *)h + h->tp_mac;
        unsigned len = h->tp_snaplen;
        if (status & TP_STATUS_COPY) {
            data = in->copy + (size_t)n * BIG + 128;
            len = recv(in->fd, data - VNET, BIG - 128, MSG_DONTWAIT) - VNET;
            copied++;
        } else if (len < h->tp_len) {
            cut++;
        }
        push(out, data, len);
        held[n] = h;
        in->at = in->at + 1 == how.slots ? 0 : in->at + 1;
    }
    flush(out);
    for (int i = 0; i < n; i++)
        __atomic_store_n(&held[i]->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    return n;
}

static int drain3(port_t *in, port_t *out) {
    struct tpacket_block_desc *b = (void *)(in->ring + (size_t)BLOCK3 * in->at);
    int closed = __atomic_load_n(&b->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER, did = 0;
    if (!closed && how.rx != PEEK)
        return 0;
    unsigned n = __atomic_load_n(&b->hdr.bh1.num_pkts, __ATOMIC_ACQUIRE);
    uint8_t *q = in->seen ? in->next : (uint8_t *)b + b->hdr.bh1.offset_to_first_pkt;
    for (; in->seen < n; in->seen++, did++) {
        struct tpacket3_hdr *h = (void *)q;
        /* a guess, not a promise of the kernel: see docs/rings.md */
        if (!closed && !(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            break;
        push(out, q + h->tp_mac, h->tp_snaplen);
        q += h->tp_next_offset;
    }
    in->next = q;
    flush(out);
    if (closed && in->seen == n) {
        if (how.rx == PEEK)
            memset((uint8_t *)b + 48, 0, b->hdr.bh1.blk_len - 48);
        __atomic_store_n(&b->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        in->at = (in->at + 1) % BLOCKS3;
        in->seen = 0;
        did += n == 0;
    }
    return did;
}

static int drain(port_t *in, port_t *out) {
    return how.rx >= V3 ? drain3(in, out) : drain2(in, out);
}

static void nap(void) {
    struct timespec t = {0, how.nap_ns};
    nanosleep(&t, NULL);
    naps++;
}

/* Sleep by the clock while that brings several frames at a time, by poll while it does not. */
static void wait_adapt(struct pollfd *fds, unsigned got) {
    static unsigned napping, wakes, since;
    if (napping) {
        napping = got >= 8 ? 2 : napping - 1;
        since = 0;
    } else if (got >= 16 || ++since == 256) {
        napping = 1;
        since = 0;
    }
    wakes++;
    if (napping) {
        nap();
    } else {
        waits++;
        poll(fds, 2, 100);
    }
}

int main(int argc, char **argv) {
    static const char *const rx[] = {"small", "big", "v3", "peek"}, *const tx[] = {"mmsg", "one", "ring2", "ring3"};
    static const char *const wait[] = {"poll", "spin", "nap", "adapt"};
    static port_t a, b;
    if (argc < 4)
        return 2;
    for (int i = 4; i < argc; i++) {
        char *value = strchr(argv[i], '='), *more = strchr(argv[i], ':');
        value = value ? value + 1 : argv[i];
        for (int k = 0; k < 4; k++) {
            if (!strncmp(argv[i], "rx=", 3) && !strcmp(value, rx[k]))
                how.rx = k;
            if (!strncmp(argv[i], "tx=", 3) && !strcmp(value, tx[k]))
                how.tx = k;
            if (!strncmp(argv[i], "wait=", 5) && !strncmp(value, wait[k], strlen(wait[k])))
                how.wait = k;
        }
        if (more)
            how.nap_ns = atol(more + 1) * 1000;
        if (!strncmp(argv[i], "slots=", 6))
            how.slots = atoi(value);
        if (!strncmp(argv[i], "slot=", 5))
            how.slot = atoi(value);
        if (!strncmp(argv[i], "reserve=", 8))
            how.reserve = atoi(value);
        how.bypass |= !strcmp(argv[i], "bypass");
    }
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    port_open(&a, argv[1]);
    port_open(&b, argv[2]);
    struct sigaction alarm_action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &alarm_action, NULL);
    alarm(atoi(argv[3]));
    fprintf(stderr, "ready\n");
    struct pollfd fds[2] = {{a.fd, POLLIN, 0}, {b.fd, POLLIN, 0}};
    for (unsigned got = 0; !stopping;) {
        int did = drain(&a, &b) + drain(&b, &a);
        got += did;
        if (did)
            continue;
        if (how.wait == POLL)
            waits++, poll(fds, 2, 100);
        else if (how.wait == NAP)
            nap();
        else if (how.wait == ADAPT)
            wait_adapt(fds, got);
        got = 0;
    }
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    double cpu = (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
    struct tpacket_stats_v3 s[2] = {{0}};
    socklen_t len = sizeof s[0];
    getsockopt(a.fd, SOL_PACKET, PACKET_STATISTICS, &s[0], &len);
    getsockopt(b.fd, SOL_PACKET, PACKET_STATISTICS, &s[1], &len);
    printf("frames %lu bytes %lu copied %lu cut %lu calls %lu polls %lu naps %lu errors %lu drops %u cpu_ms %.0f "
           "us_per_frame %.3f\n",
           frames, bytes, copied, cut, calls, waits, naps, errors, s[0].tp_drops + s[1].tp_drops, cpu / 1e3,
           frames ? cpu / frames : 0);
    return 0;
}
