// The official Go client as a worker of the benchmark. ../README.md says what is measured.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/message"
)

const (
	// How long an answer may take that does not come.
	answerLimit = 60 * time.Second
	// How long to wait for the next point of a stream that may lose points.
	lossLimit = time.Second
	// What becomes of a stream that is closed is no part of any measurement.
	closeLimit = 10 * time.Second
)

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "go:", err)
	var lacking unsupported
	if errors.As(err, &lacking) {
		os.Exit(64)
	}
	os.Exit(1)
}

func main() {
	// The client prints to standard output.
	os.Stdout = os.Stderr
	if err := run(); err != nil {
		fatal(err)
	}
}

// The version of the client that this program was built with.
func printVersion() error {
	const client = "github.com/aptpod/iscp-go"
	build, found := debug.ReadBuildInfo()
	if !found {
		return errors.New("the program says nothing about how it was built")
	}
	for _, module := range build.Deps {
		if module.Path == client {
			return printJSON(map[string]string{"version": "iscp-go " + strings.TrimPrefix(module.Version, "v")})
		}
	}
	return errors.New("the program was not built with " + client)
}

func run() error {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		return printVersion()
	}
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		return err
	}
	roles := map[string]func(context.Context, *options) error{
		"pub":   publish,
		"ack":   acknowledge,
		"e2e":   endToEnd,
		"sub":   subscribe,
		"idle":  idle,
		"start": start,
	}
	role, found := roles[o.role]
	if !found {
		return unsupported("there is no role " + o.role)
	}
	return role(context.Background(), o)
}

// Closes what may be nil; a failure is told, but the measurement is done.
func closeAll(conns []*iscp.Conn, senders []*sender) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, s := range senders {
			if err := s.upstream.Close(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "go: closing an upstream:", err)
			}
		}
		for _, conn := range conns {
			if err := conn.Close(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "go: closing a connection:", err)
			}
		}
	}()
	// The client waits for acknowledgements without a look at the context.
	select {
	case <-closed:
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr, "go: closing takes too long")
	}
}

type pubResult struct {
	Points int64   `json:"points"`
	WallS  float64 `json:"wall_s"`
	CPUs   float64 `json:"cpu_s"`
	OpenKB int64   `json:"rss_kb_open"`
	RSSkb  int64   `json:"rss_kb"`
	Bytes  int64   `json:"bytes"`
	Ack    string  `json:"ack"`
}

func publish(ctx context.Context, o *options) error {
	var conns []*iscp.Conn
	var senders []*sender
	for range o.connections {
		conn, err := connect(o, o.session)
		if err != nil {
			return err
		}
		s, err := openSender(ctx, conn, o, false)
		if err != nil {
			return err
		}
		conns, senders = append(conns, conn), append(senders, s)
	}
	payload := newPayload(o.payload)
	opened, err := memoryKB("VmRSS:")
	if err != nil {
		return err
	}
	before, err := cpuSeconds()
	if err != nil {
		return err
	}
	begun := time.Now()
	pace := newPacer(o.rate)
	for point := range o.points {
		if o.rate > 0 {
			pace.wait()
		}
		// The payload is shared: nothing is copied on the way to the client.
		if err := senders[point%int64(len(senders))].write(ctx, point, payload); err != nil {
			return err
		}
	}
	for _, s := range senders {
		if err := s.finish(ctx, o); err != nil {
			return err
		}
	}
	wall := time.Since(begun)
	after, err := cpuSeconds()
	if err != nil {
		return err
	}
	peak, err := memoryKB("VmHWM:")
	if err != nil {
		return err
	}
	ack := "all"
	if !o.reliable {
		ack = "none"
	}
	err = printJSON(pubResult{
		Points: o.points, WallS: wall.Seconds(), CPUs: after - before, OpenKB: opened, RSSkb: peak,
		Bytes: o.points * int64(o.payload), Ack: ack,
	})
	closeAll(conns, senders)
	return err
}

func acknowledge(ctx context.Context, o *options) error {
	conn, err := connect(o, o.session)
	if err != nil {
		return err
	}
	s, err := openSender(ctx, conn, o, true)
	if err != nil {
		return err
	}
	payload := newPayload(o.payload)
	latencies := make([]time.Duration, 0, o.points)
	pace := newPacer(o.rate)
	for point := range o.points {
		pace.wait()
		begun := time.Now()
		if err := s.write(ctx, point, payload); err != nil {
			return err
		}
		if err := s.waitAcked(uint64(point) + 1); err != nil {
			return err
		}
		latencies = append(latencies, time.Since(begun))
	}
	result, err := newLatencyResult(latencies)
	if err != nil {
		return err
	}
	err = printJSON(result)
	closeAll([]*iscp.Conn{conn}, []*sender{s})
	return err
}

func start(ctx context.Context, o *options) error {
	conn, err := connect(o, o.session)
	if err != nil {
		return err
	}
	s, err := openSender(ctx, conn, o, true)
	if err != nil {
		return err
	}
	if err := s.write(ctx, 0, newPayload(o.payload)); err != nil {
		return err
	}
	if err := s.waitAcked(1); err != nil {
		return err
	}
	// Without closing: what comes after the first acknowledgement is no part of the measurement.
	return printJSON(map[string]int{"acked": 1})
}

func endToEnd(ctx context.Context, o *options) error {
	receiving, err := connect(o, o.session+"-reader")
	if err != nil {
		return err
	}
	downstream, err := openDownstream(ctx, receiving, o)
	if err != nil {
		return err
	}
	sending, err := connect(o, o.session)
	if err != nil {
		return err
	}
	s, err := openSender(ctx, sending, o, false)
	if err != nil {
		return err
	}
	payload := newPayload(o.payload)
	latencies := make([]time.Duration, 0, o.points)
	begun := time.Now()
	read := make(chan error, 1)
	go func() {
		_, err := readPoints(ctx, downstream, o, func(points []*message.DataPoint, at time.Time) {
			for _, point := range points {
				latencies = append(latencies, at.Sub(begun)-stampOf(point.Payload))
			}
		})
		read <- err
	}()
	pace := newPacer(o.rate)
	for point := range o.points {
		if err := s.write(ctx, point, stamped(payload, pace.wait().Sub(begun))); err != nil {
			return err
		}
	}
	if err := s.finish(ctx, o); err != nil {
		return err
	}
	if err := <-read; err != nil {
		return err
	}
	result, err := newLatencyResult(latencies)
	if err != nil {
		return err
	}
	lost := o.points - int64(len(latencies))
	result.Lost = &lost
	err = printJSON(result)
	closeAll([]*iscp.Conn{sending, receiving}, []*sender{s})
	return err
}

type subResult struct {
	Points int64   `json:"points"`
	WallS  float64 `json:"wall_s"`
	CPUs   float64 `json:"cpu_s"`
	Lost   int64   `json:"lost"`
	RSSkb  int64   `json:"rss_kb"`
}

func subscribe(ctx context.Context, o *options) error {
	var conns []*iscp.Conn
	var downstreams []*iscp.Downstream
	for connection := range o.connections {
		conn, err := connect(o, fmt.Sprintf("%s-reader-%d-%d", o.session, os.Getpid(), connection))
		if err != nil {
			return err
		}
		downstream, err := openDownstream(ctx, conn, o)
		if err != nil {
			return err
		}
		conns, downstreams = append(conns, conn), append(downstreams, downstream)
	}
	fmt.Fprintln(output, "ready")
	before, err := cpuSeconds()
	if err != nil {
		return err
	}
	type reading struct {
		count       int64
		first, last time.Time
		err         error
	}
	readings := make(chan reading, len(downstreams))
	for _, downstream := range downstreams {
		go func() {
			var r reading
			r.count, r.err = readPoints(ctx, downstream, o, func(_ []*message.DataPoint, at time.Time) {
				if r.first.IsZero() {
					r.first = at
				}
				r.last = at
			})
			readings <- r
		}()
	}
	var all reading
	for range downstreams {
		r := <-readings
		if r.err != nil {
			return r.err
		}
		if all.first.IsZero() || r.first.Before(all.first) {
			all.first = r.first
		}
		if r.last.After(all.last) {
			all.last = r.last
		}
		all.count += r.count
	}
	after, err := cpuSeconds()
	if err != nil {
		return err
	}
	peak, err := memoryKB("VmHWM:")
	if err != nil {
		return err
	}
	err = printJSON(subResult{
		Points: all.count, WallS: all.last.Sub(all.first).Seconds(), CPUs: after - before,
		Lost: o.points*int64(o.connections) - all.count, RSSkb: peak,
	})
	closeAll(conns, nil)
	return err
}

type opened struct {
	Connections int     `json:"connections"`
	BeforeKB    int64   `json:"rss_kb_before"`
	AfterKB     int64   `json:"rss_kb_after"`
	CPUsOpen    float64 `json:"cpu_s_open"`
}

type idleResult struct {
	Connections int     `json:"connections"`
	KBEach      float64 `json:"kb_each"`
	CPUmsOpen   float64 `json:"cpu_ms_open_each"`
	CPUusPerS   float64 `json:"cpu_us_per_s_each"`
}

func idle(ctx context.Context, o *options) error {
	if o.connections < 2 {
		return fmt.Errorf("connections=%d: what one more connection costs needs at least 2", o.connections)
	}
	var conns []*iscp.Conn
	var senders []*sender
	var before, after, idled float64
	result := opened{Connections: o.connections}
	for connection := range o.connections {
		conn, err := connect(o, fmt.Sprintf("%s-%d", o.session, connection))
		if err != nil {
			return err
		}
		s, err := openSender(ctx, conn, o, false)
		if err != nil {
			return err
		}
		conns, senders = append(conns, conn), append(senders, s)
		if connection > 0 {
			continue
		}
		if result.BeforeKB, err = memoryKB("VmRSS:"); err != nil {
			return err
		}
		if before, err = cpuSeconds(); err != nil {
			return err
		}
	}
	var err error
	if result.AfterKB, err = memoryKB("VmRSS:"); err != nil {
		return err
	}
	if after, err = cpuSeconds(); err != nil {
		return err
	}
	result.CPUsOpen = after - before
	fmt.Fprint(output, "ready ")
	if err := printJSON(result); err != nil {
		return err
	}
	time.Sleep(time.Duration(o.idleS * float64(time.Second)))
	if idled, err = cpuSeconds(); err != nil {
		return err
	}
	others := float64(o.connections - 1)
	each := idleResult{
		Connections: o.connections,
		KBEach:      float64(result.AfterKB-result.BeforeKB) / others,
		CPUmsOpen:   result.CPUsOpen * 1e3 / others,
	}
	if o.idleS > 0 {
		each.CPUusPerS = (idled - after) * 1e6 / o.idleS / float64(o.connections)
	}
	err = printJSON(each)
	closeAll(conns, senders)
	return err
}
