/* The host board: arena and store in RAM, time in nanoseconds, bytes over standard input and output, a pty or TCP. */
#define _GNU_SOURCE
#include "port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "host.h"

#define ARENA_BYTES (4u << 20)
#define STORE_BYTES (16u << 20)
#define ERASE_BYTES 4096u
#define IDLE_MS 20
#define PEER_MS 1000

/* EK_HOST_FLASH makes the store behave as flash: written once after erasing, in units. */
#ifdef EK_HOST_FLASH
#define FLASH 1u
#else
#define FLASH 0u
#endif

static _Alignas(EK_ALIGN) uint8_t arena[ARENA_BYTES];
static _Alignas(ERASE_BYTES) uint8_t store[STORE_BYTES];

const ek_board ek_port_board = {
    .board = "host", .core = "host", .clock_hz = 1000000000u, .counts = EK_COUNTS_NANOSECONDS, .counter_mul = 1,
    .counter_div = 1, .sram_bytes = ARENA_BYTES + STORE_BYTES + (1u << 20), .flash_bytes = 0, .arena = arena,
    .arena_bytes = ARENA_BYTES, .store = store, .store_bytes = STORE_BYTES, .store_is_flash = FLASH,
    .store_write_bytes = FLASH ? 32 : 1, .store_erase_bytes = FLASH ? ERASE_BYTES : 0};

jmp_buf host_restart;

static int in_fd, out_fd, listener = -1, ends_with_stdin;
static uint8_t in_buffer[4096];
static uint32_t in_count, in_at;

void host_use_stdio(void)
{
    in_fd = 0;
    out_fd = 1;
}

void host_end_with_stdin(void)
{
    ends_with_stdin = 1;
}

int host_use_pty(void)
{
    struct termios settings;
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) {
        return -1;
    }
    /* Held open, so that the pty outlives each peer. */
    const int peer = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (peer < 0 || tcgetattr(peer, &settings)) {
        return -1;
    }
    cfmakeraw(&settings);
    if (tcsetattr(peer, TCSANOW, &settings) || fcntl(master, F_SETFL, O_NONBLOCK)) {
        return -1;
    }
    in_fd = out_fd = master;
    printf("%s\n", ptsname(master));
    return fflush(stdout);
}

int host_use_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&address, &length)) {
        return -1;
    }
    in_fd = out_fd = -1;
    printf("%u\n", (unsigned)ntohs(address.sin_port));
    return fflush(stdout);
}

static void end_if_stdin_ended(void)
{
    uint8_t byte;
    struct pollfd state = {.fd = 0, .events = POLLIN};
    if (ends_with_stdin && poll(&state, 1, 0) > 0 && read(0, &byte, 1) <= 0) {
        exit(0);
    }
}

/* The peer is gone: wait for the next one, or end with the input. */
static void next_peer(void)
{
    if (listener < 0) {
        if (in_fd == 0) {
            exit(0);
        }
        return;
    }
    if (in_fd >= 0) {
        close(in_fd);
    }
    struct pollfd state = {.fd = listener, .events = POLLIN};
    in_fd = out_fd = poll(&state, 1, IDLE_MS) > 0 ? accept4(listener, NULL, NULL, SOCK_NONBLOCK) : -1;
}

void ek_port_init(void) {}

/* Waits some milliseconds if there is nothing, so that an idle agent does not keep a processor busy. */
int ek_port_getc(void)
{
    if (in_at < in_count) {
        return in_buffer[in_at++];
    }
    struct pollfd state = {.fd = in_fd, .events = POLLIN};
    if (in_fd < 0 || poll(&state, 1, IDLE_MS) <= 0) {
        end_if_stdin_ended();
        if (in_fd < 0) {
            next_peer();
        }
        return -1;
    }
    const ssize_t count = read(in_fd, in_buffer, sizeof in_buffer);
    in_at = 0;
    in_count = count > 0 ? (uint32_t)count : 0;
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
        next_peer();
    }
    return in_count ? in_buffer[in_at++] : -1;
}

/* What a peer does not take within a second is lost, as it is on a wire. */
void ek_port_write(const uint8_t *bytes, uint32_t count)
{
    while (count && out_fd >= 0) {
        const ssize_t written = write(out_fd, bytes, count);
        if (written >= 0) {
            bytes += written;
            count -= (uint32_t)written;
            continue;
        }
        struct pollfd state = {.fd = out_fd, .events = POLLOUT};
        if ((errno != EAGAIN && errno != EINTR) || poll(&state, 1, PEER_MS) <= 0) {
            return;
        }
    }
}

uint32_t ek_port_overruns(void)
{
    return 0;
}

uint32_t ek_port_counter(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    if (FLASH) {
        const uint32_t first = offset / ERASE_BYTES, end = (offset + bytes + ERASE_BYTES - 1) / ERASE_BYTES;
        memset(store + first * ERASE_BYTES, 0xff, (end - first) * ERASE_BYTES);
    }
    return 0;
}

uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    if (FLASH && (offset % ek_port_board.store_write_bytes || count % ek_port_board.store_write_bytes)) {
        return 1;
    }
    for (uint32_t i = 0; FLASH && i < count; i++) {
        if (store[offset + i] != 0xff) {
            return 2;
        }
    }
    memcpy(store + offset, bytes, count);
    return 0;
}

uint32_t ek_port_stack_used(void)
{
    return 0; /* not told: this machine's libraries share the stack */
}

void ek_port_stack_repaint(void) {}

uint32_t ek_port_static_bytes(void)
{
    return sizeof(ek_agent) + sizeof in_buffer;
}

void ek_port_reset(void)
{
    in_at = in_count = 0;
    longjmp(host_restart, 1);
}
