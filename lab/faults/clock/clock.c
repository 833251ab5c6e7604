/* Shifts the wall clock of the program that this is preloaded into (ld.so(8), LD_PRELOAD) by LAB_CLOCK_OFFSET
 * seconds. CLOCK_MONOTONIC stays as it is, so that what waits for a time to pass waits no longer than before.
 *
 * It is linked without a C library, and finds `syscall` and `getenv` in the program's own, whatever its version.
 */
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

extern long syscall(long number, ...);
extern char *getenv(const char *name);

static long offset(void)
{
	const char *text = getenv("LAB_CLOCK_OFFSET");
	long value = 0, sign = 1;

	if (!text)
		return 0;
	if (*text == '-') {
		sign = -1;
		text++;
	}
	while (*text >= '0' && *text <= '9')
		value = value * 10 + (*text++ - '0');
	return sign * value;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	int result = (int)syscall(SYS_clock_gettime, clock, at);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		at->tv_sec += offset();
	return result;
}

int gettimeofday(struct timeval *at, void *zone)
{
	int result = (int)syscall(SYS_gettimeofday, at, zone);

	if (result == 0)
		at->tv_sec += offset();
	return result;
}

time_t time(time_t *at)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}
