/*
 * A thread that looks at the monotonic clock every 50 us or so and remembers the largest gaps between two looks.
 *
 * A stop of the process shows as a gap. The thread is native and never takes the GIL, so what Python does is not in it;
 * what the scheduler does is: compare with the gaps of a quiet time.
 *
 * Beside it `bare_fork`, the least that a fork of this process can take.
 *
 * Build: cc -O2 -shared -fPIC -pthread -o pause_ticker.so pause_ticker.c
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT 256
#define TICK_NS 50000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t largest[KEPT]; /* descending */
static uint64_t ticks;
static uint64_t sum_ns;
static uint64_t generation;
static uint64_t looks; /* never reset */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void remember(uint64_t gap)
{
    if (gap <= largest[KEPT - 1])
        return;
    int place = KEPT - 1;
    for (; place > 0 && largest[place - 1] < gap; place--)
        largest[place] = largest[place - 1];
    largest[place] = gap;
}

static void *run(void *unused)
{
    (void)unused;
    prctl(PR_SET_TIMERSLACK, 1);
    pthread_setname_np(pthread_self(), "pause ticker");
    struct timespec tick = {0, TICK_NS};
    uint64_t last = now_ns(), seen = 0;
    for (;;) {
        nanosleep(&tick, NULL);
        uint64_t now = now_ns();
        pthread_mutex_lock(&lock);
        looks++;
        if (seen == generation) { /* a gap that began before a reset is nobody's */
            ticks++;
            sum_ns += now - last;
            remember(now - last);
        }
        seen = generation;
        pthread_mutex_unlock(&lock);
        last = now;
    }
    return NULL;
}

/*
 * Waits for the second look from now on. After a stop the caller may run before the ticker does, and the gap is known only
 * when the ticker has looked.
 */
static void wait_for_looks(void)
{
    struct timespec tick = {0, TICK_NS};
    uint64_t first = 0, now;
    for (int started = 0;; started = 1) {
        pthread_mutex_lock(&lock);
        now = looks;
        pthread_mutex_unlock(&lock);
        if (!started)
            first = now;
        if (now - first >= 2)
            return;
        nanosleep(&tick, NULL);
    }
}

int ticker_start(void)
{
    pthread_t thread;
    int problem = pthread_create(&thread, NULL, run, NULL);
    if (problem == 0)
        pthread_detach(thread);
    return problem;
}

void ticker_reset(void)
{
    pthread_mutex_lock(&lock);
    for (int place = 0; place < KEPT; place++)
        largest[place] = 0;
    ticks = 0;
    sum_ns = 0;
    generation++;
    pthread_mutex_unlock(&lock);
    wait_for_looks(); /* from here on every gap counts */
}

/* Writes up to `room` of the largest gaps in ns, descending, to `gaps`; the number of ticks and their sum beside them. */
int ticker_read(uint64_t *gaps, int room, uint64_t *count, uint64_t *total_ns)
{
    wait_for_looks();
    pthread_mutex_lock(&lock);
    int given = 0;
    for (; given < room && given < KEPT && largest[given] != 0; given++)
        gaps[given] = largest[given];
    *count = ticks;
    *total_ns = sum_ns;
    pthread_mutex_unlock(&lock);
    return given;
}

/* How long the system call takes, in ns; 0 when it fails. The child ends at once. No handlers of the C library are run. */
uint64_t bare_fork(void)
{
    uint64_t begin = now_ns();
    long child = syscall(SYS_fork);
    if (child == 0)
        syscall(SYS_exit_group, 0);
    uint64_t taken = now_ns() - begin;
    if (child < 0)
        return 0;
    while (waitpid((pid_t)child, NULL, 0) == -1)
        ;
    return taken;
}
