package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Clocks, pace and results, as ../../common has them for the workers in C.

// User and system time of the process so far, seconds.
func cpuSeconds() (float64, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9, nil
}

// Memory of the process, KiB: "VmRSS:" now, "VmHWM:" the most there was.
func memoryKB(field string) (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, field); found {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no %s", field)
}

// Bytes of a point: the same in every worker, so that compression has the same work.
func newPayload(size int) []byte {
	payload := make([]byte, size)
	state := uint32(1)
	for i := range payload {
		// The generator of the C standard's example: nothing in the payload repeats.
		state = state*1103515245 + 12345
		payload[i] = byte(state >> 16)
	}
	return payload
}

const stampSize = 8

// A payload of its own, with the time stamp in the first eight bytes.
func stamped(payload []byte, stamp time.Duration) []byte {
	own := slices.Clone(payload)
	binary.NativeEndian.PutUint64(own, uint64(stamp))
	return own
}

func stampOf(payload []byte) time.Duration {
	return time.Duration(binary.NativeEndian.Uint64(payload))
}

// When the points of a given rate are due.
type pacer struct {
	start time.Time
	// Points per second; 0 makes every point due at once.
	rate float64
	next int64
}

func newPacer(rate float64) *pacer {
	return &pacer{start: time.Now(), rate: rate}
}

// Waits until the next point is due, and returns its time stamp: the time of the return, or, when a call of the client
// held the publisher up beyond it, the time when the point was due ("coordinated omission").
//
// The operating system sleeps rather than the runtime, whose timers may be a millisecond late.
func (p *pacer) wait() time.Time {
	now := time.Now()
	if p.rate == 0 {
		return now
	}
	due := p.start.Add(time.Duration(float64(p.next) / p.rate * 1e9))
	p.next++
	if !due.After(now) {
		return due
	}
	for now.Before(due) {
		rest := syscall.NsecToTimespec(due.Sub(now).Nanoseconds())
		// Signals, of which the runtime has many, end it early.
		if err := syscall.Nanosleep(&rest, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			panic(err)
		}
		now = time.Now()
	}
	return now
}

type latencyResult struct {
	Points    int      `json:"points"`
	P50us     float64  `json:"p50_us"`
	P99us     float64  `json:"p99_us"`
	P99_9us   float64  `json:"p99_9_us"`
	Histogram [][2]any `json:"histogram_us"`
	Lost      *int64   `json:"lost,omitempty"`
}

// Of every latency measured, so that the percentiles are exact.
func newLatencyResult(all []time.Duration) (*latencyResult, error) {
	if len(all) == 0 {
		return nil, errors.New("no point came through")
	}
	slices.Sort(all)
	us := func(latency time.Duration) float64 {
		return float64(latency.Nanoseconds()) / 1e3
	}
	percentile := func(part float64) float64 {
		rank := int(math.Ceil(part * float64(len(all))))
		return us(all[max(rank, 1)-1])
	}
	result := &latencyResult{
		Points:  len(all),
		P50us:   percentile(0.5),
		P99us:   percentile(0.99),
		P99_9us: percentile(0.999),
	}
	// Bounds that divide every power of ten into 40 parts, from 0.1 µs on.
	for bucket, i := 0, 0; i < len(all); bucket++ {
		bound := 0.1 * math.Pow(10, float64(bucket)/40)
		first := i
		for i < len(all) && us(all[i]) <= bound {
			i++
		}
		if i > first {
			result.Histogram = append(result.Histogram, [2]any{math.Round(bound*1e3) / 1e3, i - first})
		}
	}
	return result, nil
}

// Standard output, which the client is kept from.
var output = os.Stdout

func printJSON(result any) error {
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(output, "%s\n", text)
	return err
}
