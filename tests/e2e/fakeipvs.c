/*
 * Answers keepalived's questions to the kernel's IPVS and writes its commands into a file.
 *
 * A library to be preloaded.  Where the kernel knows no IPVS family of generic netlink, keepalived
 * falls back to the socket options of IPv4 (ip_vs_service_user and ip_vs_dest_user of
 * linux/ip_vs.h); these are what is answered here.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BASE 1152 /* IP_VS_BASE_CTL */
#define NEW_DEST 7
#define SET_DEST 9

struct service {
    uint16_t protocol;
    uint32_t addr;
    uint16_t port;
    uint32_t fwmark;
    char scheduler[16];
    uint32_t flags, timeout, netmask;
};

struct dest {
    uint32_t addr;
    uint16_t port;
    uint32_t conn_flags;
    int32_t weight;
    uint32_t u_threshold, l_threshold;
};

static const char *const NAMES[16] = {
    [1] = "NONE", [2] = "NEW_SERVICE", [3] = "SET_SERVICE", [4] = "DEL_SERVICE", [5] = "FLUSH",
    [NEW_DEST] = "NEW_DEST", [8] = "DEL_DEST", [SET_DEST] = "SET_DEST", [10] = "SET_TIMEOUT",
    [11] = "START_DAEMON", [12] = "STOP_DAEMON", [15] = "ZERO",
};

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    if (level != 0 || name < BASE || name >= BASE + 16)
        return real(fd, level, name, value, length);
    struct service svc = {0};
    struct dest dst = {0};
    char vip[16], rip[16];
    struct timespec now;
    if (length >= sizeof svc)
        memcpy(&svc, value, sizeof svc);
    if (length >= sizeof svc + sizeof dst)
        memcpy(&dst, (const char *)value + sizeof svc, sizeof dst);
    inet_ntop(AF_INET, &svc.addr, vip, sizeof vip);
    inet_ntop(AF_INET, &dst.addr, rip, sizeof rip);
    clock_gettime(CLOCK_MONOTONIC, &now);
    FILE *log = fopen(getenv("FAKEIPVS_LOG"), "a");
    if (log) {
        const char *what = NAMES[name - BASE] ? NAMES[name - BASE] : "?";
        fprintf(log, "%ld.%03ld %s %s:%u", (long)now.tv_sec, now.tv_nsec / 1000000, what, vip,
                ntohs(svc.port));
        if (strstr(what, "DEST"))
            fprintf(log, " %s:%u", rip, ntohs(dst.port));
        if (name == BASE + NEW_DEST || name == BASE + SET_DEST)
            fprintf(log, " weight %d", dst.weight);
        fputc('\n', log);
        fclose(log);
    }
    return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    int (*real)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
    if (level != 0 || name < BASE || name >= BASE + 16)
        return real(fd, level, name, value, length);
    memset(value, 0, *length);
    if (*length >= 4)
        *(uint32_t *)value = 0x010201;
    return 0;
}
