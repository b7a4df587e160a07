/* How many cores the control groups of this process grant (CPU quotas, cgroup v2 and v1).
 * The files are documented in the kernel's admin-guide/cgroup-v2 and scheduler/sched-bwc. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Buffers, from the heap: some programs' threads have stacks of 16 KiB. */
struct text {
    char groups[4096]; /* /proc/self/cgroup */
    char folder[4608];
    char path[4608];
};

/* The beginning of a file as text; empty where it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, size - 1);
    text[length < 0 ? 0 : length] = '\0';
    if (file >= 0)
        close(file);
}

/* A file that holds one or two numbers; what is not a number ("max") reads as 0. */
static void read_numbers(struct text *text, const char *name, long long numbers[2])
{
    char line[64], *rest;
    size_t length = strnlen(text->folder, sizeof text->path - 1);
    memcpy(text->path, text->folder, length);
    snprintf(text->path + length, sizeof text->path - length, "/%s", name);
    read_text(text->path, line, sizeof line);
    numbers[0] = strtoll(line, &rest, 10);
    numbers[1] = strtoll(rest, NULL, 10);
}

/* Whole cores, at least one, that the group at `text->folder` grants; no more than `cores`. */
static int32_t limit_of(struct text *text, int32_t cores)
{
    long long quota[2], period[2];
    read_numbers(text, "cpu.max", quota);
    if (quota[0] <= 0 || quota[1] <= 0) {
        read_numbers(text, "cpu.cfs_quota_us", quota);
        read_numbers(text, "cpu.cfs_period_us", period);
        quota[1] = period[0];
    }
    if (quota[0] <= 0 || quota[1] <= 0 || quota[0] / quota[1] >= cores)
        return cores;
    return quota[0] < quota[1] ? 1 : (int32_t)(quota[0] / quota[1]);
}

/* The same for the group `path` of a hierarchy and for the groups around it. */
static int32_t limit_along(struct text *text, const char *hierarchy, const char *path,
                           int32_t cores)
{
    snprintf(text->folder, sizeof text->folder, "%s%s", hierarchy, path);
    char *slash = text->folder + strlen(hierarchy);
    for (;;) {
        cores = limit_of(text, cores);
        char *last = strrchr(slash, '/');
        if (last == NULL)
            return cores;
        *last = '\0';
    }
}

/* Whether a line's list of controllers ("cpu,cpuacct") has "cpu". */
static int has_cpu(const char *controllers)
{
    size_t length = strcspn(controllers, ",");
    while (!(length == 3 && strncmp(controllers, "cpu", 3) == 0)) {
        if (controllers[length] == '\0')
            return 0;
        controllers += length + 1;
        length = strcspn(controllers, ",");
    }
    return 1;
}

static int32_t granted(struct text *text, const char *root, int32_t cores)
{
    char v2[256], v1[256], *state;
    snprintf(v2, sizeof v2, "%s/sys/fs/cgroup", root);
    snprintf(v1, sizeof v1, "%s/sys/fs/cgroup/cpu", root);
    cores = limit_along(text, v1, "", limit_along(text, v2, "", cores));
    snprintf(text->path, sizeof text->path, "%s/proc/self/cgroup", root);
    read_text(text->path, text->groups, sizeof text->groups);
    for (char *line = strtok_r(text->groups, "\n", &state); line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        char *controllers = strchr(line, ':'); /* id:controllers:path */
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        controllers++;
        if (*controllers == '\0')
            cores = limit_along(text, v2, path, cores);
        else if (has_cpu(controllers))
            cores = limit_along(text, v1, path, cores);
    }
    return cores;
}

int32_t luthier_granted_cores(const char *root, int32_t cores)
{
    struct text *text = malloc(sizeof *text);
    if (text == NULL)
        return cores;
    cores = granted(text, root, cores);
    free(text);
    return cores;
}
