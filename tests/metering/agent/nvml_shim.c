/* Four cards behind the functions of libnvidia-ml.so.1 that pynvml calls, with the structures and return codes of nvml.h:
   a busy one, an idle one without an energy counter, one split into two MIG instances, and one that has MIG mode but no
   instance. NVML_SHIM=nodriver: the driver is not loaded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9 };

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu, compute; } process;
typedef struct {
    unsigned processors, copy, decoders, encoders, jpeg, ofa, gpu_slices, compute_slices;
    unsigned long long memory_mb;
} attributes;
typedef struct { int card, part; } device; /* part 0 is the card itself */

static device devices[4][8];
static int users;

int nvmlInitWithFlags(unsigned flags) {
    const char *mode = getenv("NVML_SHIM");
    if (flags || (mode && !strcmp(mode, "nodriver"))) return NO_DRIVER;
    users++;
    for (int card = 0; card < 4; card++)
        for (int part = 0; part < 8; part++) devices[card][part] = (device){card, part};
    return OK;
}
int nvmlShutdown(void) { return users-- > 0 ? OK : UNINITIALIZED; }
const char *nvmlErrorString(int code) { return code == NO_DRIVER ? "Driver Not Loaded" : "Other"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 4; return users > 0 ? OK : UNINITIALIZED; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **found) {
    if (index >= 4) return INVALID;
    *found = &devices[index][0];
    return OK;
}
int nvmlDeviceGetUUID(device *of, char *into, unsigned size) {
    snprintf(into, size, "GPU-0000000%d-0000-0000-0000-000000000000", of->card);
    return OK;
}
int nvmlDeviceGetName(device *of, char *into, unsigned size) {
    snprintf(into, size, "%s", of->card < 2 ? "NVIDIA H200" : "NVIDIA H100 80GB HBM3");
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device *of, unsigned *count, process *into) {
    unsigned running = of->card == 0 ? 2 : of->part == 1 ? 1 : 0;
    unsigned room = *count;
    *count = running;
    if (room < running) return TOO_SMALL;
    for (unsigned at = 0; at < running; at++) into[at] = (process){1000 + at, 1ULL << 30, ~0u, ~0u};
    return OK;
}
int nvmlDeviceGetMigMode(device *of, unsigned *current, unsigned *pending) {
    if (of->card < 2) return NOT_SUPPORTED;
    *current = *pending = 1;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(device *of, unsigned *count) { (void)of; *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(device *of, unsigned index, device **found) {
    if (of->card != 2 || (index != 0 && index != 3)) return NOT_FOUND;
    *found = &devices[2][index ? 2 : 1];
    return OK;
}
int nvmlDeviceGetGpuInstanceId(device *of, unsigned *id) { *id = of->part == 1 ? 1 : 9; return of->part ? OK : INVALID; }
int nvmlDeviceGetAttributes_v2(device *of, attributes *into) {
    memset(into, 0, sizeof *into);
    if (!of->part) return INVALID;
    into->gpu_slices = into->compute_slices = of->part == 1 ? 3 : 1;
    into->memory_mb = of->part == 1 ? 40448 : 9856;
    return OK;
}
int nvmlDeviceGetUtilizationRates(device *of, unsigned *rates) {
    if (of->card >= 2) return NOT_SUPPORTED;
    rates[0] = of->card ? 0 : 80;
    rates[1] = 10;
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(device *of, unsigned long long *millijoules) {
    static unsigned long long rounds;
    if (of->card) return NOT_SUPPORTED;
    *millijoules = 1000 * ++rounds;
    return OK;
}
