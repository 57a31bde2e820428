package transformer

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// unknownMemory is what a system is taken to have that does not say.
const unknownMemory = 4 << 30

// availableMemory is how many bytes this process can still use, by the system's count and by its container's bound.
func availableMemory() int {
	available := unknownMemory
	if kib, ok := meminfo("MemAvailable"); ok {
		available = kib << 10
	}
	// Control groups, version 2: a container sees its own at the root.
	if most, ok := number("/sys/fs/cgroup/memory.max"); ok {
		if used, ok := number("/sys/fs/cgroup/memory.current"); ok {
			available = min(available, max(0, most-used))
		}
	}
	return available
}

func meminfo(key string) (kib int, ok bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // it was read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), key+":"); found {
			kib, err = strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
			return kib, err == nil
		}
	}
	return 0, false
}

func number(path string) (int, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data))) // "max" is no number: there is no bound
	return n, err == nil
}
