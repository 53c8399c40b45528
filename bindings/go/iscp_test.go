package iscp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

const limit = time.Minute

// TestMain runs the programs of exit_test.go when a test starts itself again.
func TestMain(m *testing.M) {
	if name := os.Getenv("ISCP_TEST_EXIT"); name != "" {
		exits[name](os.Getenv("ISCP_TEST_URL"))
		return
	}
	os.Exit(m.Run())
}

// startBroker returns the address of a broker, on a port of its own.
func startBroker(t *testing.T, arguments ...string) string {
	t.Helper()
	command := exec.Command(os.Getenv("ISCP_PROGRAM"), append([]string{"broker", "--ws", "127.0.0.1:0"}, arguments...)...)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal("ISCP_PROGRAM must be the program iscp: ", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if !found {
		t.Fatalf("the broker said %q, %v", line, err)
	}
	return url
}

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, url, node string) *Conn {
	t.Helper()
	conn, err := Connect(background(t), ConnOptions{URL: url, NodeID: node})
	check0(t, err)
	t.Cleanup(conn.handle.release)
	return conn
}

func check0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, want, got any) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("want %v, got %v", want, got)
	}
}

// until waits for something that happens on another thread.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + " did not happen")
		}
	}
}

func collect(t *testing.T, down *Downstream, count int) map[string][]DataPoint {
	t.Helper()
	got := map[string][]DataPoint{}
	for seen := 0; seen < count; {
		chunk, err := down.Next(background(t))
		check0(t, err)
		for _, group := range chunk.Groups {
			key := group.Type + ":" + group.Name
			got[key] = append(got[key], group.Points...)
			seen += len(group.Points)
		}
	}
	return got
}

func TestWhatIsPublishedIsReceived(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	receiver, sender := connect(t, url, "receiver"), connect(t, url, "sender")
	down, err := receiver.OpenDownstream(ctx, DownstreamOptions{
		Filters: []Filter{{"sender", "number:a/#"}, {"sender", "text:#"}}, QoS: Reliable,
	})
	check0(t, err)
	check0(t, sender.SendBaseTime(ctx, BaseTime{
		SessionID: "session", Name: "edge_rtc", Priority: 20, Elapsed: 5, Time: time.Unix(0, 1_700_000_000_123_456_789),
	}))
	up, err := sender.OpenUpstream(ctx, UpstreamOptions{SessionID: "session", QoS: Reliable, DataIDs: []string{"number:a/b"}})
	check0(t, err)
	number, err := up.DataID("a/b", "number")
	check0(t, err)
	other, err := up.DataID("other", "number")
	check0(t, err)
	text, err := up.DataID("t", "text")
	check0(t, err)
	var sent []DataPoint
	for i := 0; i < 100; i++ {
		sent = append(sent, DataPoint{time.Duration(i - 1), []byte{byte(i)}})
		check0(t, up.Write(number, sent[i].Elapsed, sent[i].Payload))
		check0(t, up.Write(other, 0, nil))
	}
	check0(t, up.Flush(ctx, FlushAcknowledged))
	texts := []DataPoint{{1, []byte("one")}, {2, []byte{}}, {3, []byte("three")}}
	check0(t, up.WritePoints(text, texts))
	id := up.ID
	check0(t, up.Close(ctx))

	equal(t, map[string][]DataPoint{"number:a/b": sent, "text:t": texts}, collect(t, down, 103))
	found := map[MetadataKind]*Metadata{}
	for found[MetadataUpstreamNormalClose] == nil {
		metadata := <-down.Metadata()
		found[metadata.Kind] = metadata
	}
	equal(t, &Metadata{
		Kind: MetadataBaseTime, SourceNodeID: "sender", SessionID: "session", Name: "edge_rtc", Priority: 20, Elapsed: 5,
		BaseTime: time.Unix(0, 1_700_000_000_123_456_789),
	}, found[MetadataBaseTime])
	equal(t, uint64(203), found[MetadataUpstreamNormalClose].TotalPoints)
	equal(t, id, found[MetadataUpstreamNormalClose].StreamID)
	check0(t, down.Close(ctx))
	check0(t, receiver.Close(ctx))
	equal(t, StateClosed, receiver.State())
}

func TestAPointIsAcknowledged(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	up, err := connect(t, url, "sender").OpenUpstream(ctx, UpstreamOptions{QoS: Reliable})
	check0(t, err)
	id, err := up.DataID("a", "t")
	check0(t, err)
	check0(t, up.WriteAcknowledged(ctx, id, 0, []byte("x")))
	if err := up.WriteAcknowledged(ctx, id+1, 0, nil); !errors.Is(err, ErrInvalidArgument) {
		t.Fatal(err)
	}
	check0(t, up.Close(ctx))
	if err := up.WriteAcknowledged(ctx, id, 0, nil); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestErrorsHaveStatusMessageAndResultCode(t *testing.T) {
	url := startBroker(t, "--token", "secret")
	_, err := Connect(background(t), ConnOptions{URL: url, Token: "wrong"})
	var detail *Error
	if !errors.As(err, &detail) || !errors.Is(err, ErrUnauthorized) {
		t.Fatal(err)
	}
	if detail.ResultCode < 0 || detail.Message == "" || detail.Retriable || !strings.Contains(err.Error(), "ISCP_ERR_UNAUTHORIZED") {
		t.Fatalf("%+v", detail)
	}
}

func TestBadInput(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	conn := connect(t, url, "sender")
	_, err := conn.OpenUpstream(ctx, UpstreamOptions{Extra: map[string]string{"no_such_option": "1"}})
	if !errors.Is(err, ErrUnknownOption) || !strings.Contains(err.Error(), "no_such_option") {
		t.Fatal(err)
	}
	_, err = conn.OpenUpstream(ctx, UpstreamOptions{SessionID: "a\x00b"})
	if !errors.Is(err, ErrInvalidArgument) || !strings.Contains(err.Error(), "session_id") {
		t.Fatal(err)
	}
	_, err = conn.OpenUpstream(ctx, UpstreamOptions{QoS: 9})
	if !errors.Is(err, ErrInvalidOption) || !strings.Contains(err.Error(), "qos") {
		t.Fatal(err)
	}
}

func TestContextsEndWaiting(t *testing.T) {
	url := startBroker(t)
	down, err := connect(t, url, "receiver").OpenDownstream(background(t), DownstreamOptions{Filters: []Filter{{"nobody", "#:#"}}})
	check0(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = down.Next(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// Closing happens even then, and ends the goroutine that waits for chunks.
	if err := down.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for range down.Chunks() {
		t.Fatal("a chunk of nobody")
	}
	check0(t, down.Err())
	if err := down.Close(ctx); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// What is opened after the application lost interest must not stay open.
func TestAnAbandonedConnectionIsClosedAgain(t *testing.T) {
	url, before := startBroker(t), liveHandles.Load()
	release := make(chan struct{})
	closed := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	options := ConnOptions{
		URL: url,
		TokenSource: func() (string, error) {
			cancel()
			<-release
			return "", nil
		},
		OnEvent: func(event Event) {
			if event.Kind == EventClosed {
				close(closed)
			}
		},
	}
	_, err := Connect(ctx, options)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(release)
	select {
	case <-closed:
	case <-time.After(limit):
		t.Fatal("the connection was not closed")
	}
	until(t, "the release of the handles", func() bool { return liveHandles.Load() == before })
}

func TestADeadlineEndsConnecting(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := Connect(ctx, ConnOptions{URL: startBroker(t), TokenSource: func() (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestCallbacksAreReleasedOnce(t *testing.T) {
	ctx, url, before := background(t), startBroker(t, "--token", "secret"), liveHandles.Load()
	var mu sync.Mutex
	var events []EventKind
	var acks []Ack
	var inside error
	var conn *Conn
	ready := make(chan struct{})
	conn, err := Connect(ctx, ConnOptions{
		URL: url, NodeID: "sender",
		TokenSource: func() (string, error) { return "secret", nil },
		OnEvent: func(event Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, event.Kind)
		},
	})
	check0(t, err)
	up, err := conn.OpenUpstream(ctx, UpstreamOptions{QoS: Reliable, OnAck: func(ack Ack) {
		<-ready
		mu.Lock()
		defer mu.Unlock()
		inside = conn.Close(ctx)
		acks = append(acks, ack)
	}})
	check0(t, err)
	id, err := up.DataID("a", "t")
	check0(t, err)
	check0(t, up.Write(id, 0, nil))
	close(ready)
	check0(t, up.Close(ctx))
	until(t, "the acknowledgement", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acks) == 1
	})
	check0(t, conn.Close(ctx))
	until(t, "the release of the handles", func() bool { return liveHandles.Load() == before })
	mu.Lock()
	defer mu.Unlock()
	equal(t, []EventKind{EventConnected, EventClosed}, events)
	equal(t, []Ack{{1, 0, acks[0].ResultString}}, acks)
	if !errors.Is(inside, ErrInCallback) {
		t.Fatal(inside)
	}
}

func TestCallbacksAreReleasedWhenConnectingFails(t *testing.T) {
	before := liveHandles.Load()
	for _, options := range []ConnOptions{
		{URL: "nonsense"},
		{URL: "ws://127.0.0.1:1"},
		{URL: startBroker(t), TokenSource: func() (string, error) { return "", errors.New("the vault is locked") }},
		{URL: startBroker(t), TokenSource: func() (string, error) { return "a\x00b", nil }},
	} {
		options.OnEvent = func(Event) {}
		_, err := Connect(background(t), options)
		if err == nil {
			t.Fatal("connected")
		}
		if options.TokenSource != nil && !errors.Is(err, ErrTokenFailed) {
			t.Fatal(err)
		}
	}
	until(t, "the release of the handles", func() bool { return liveHandles.Load() == before })
}

func TestForgottenObjectsAreFreed(t *testing.T) {
	url, before := startBroker(t), liveHandles.Load()
	func() {
		conn, err := Connect(background(t), ConnOptions{URL: url, OnEvent: func(Event) {}})
		check0(t, err)
		for i := 0; i < 5; i++ {
			_, err := conn.OpenUpstream(background(t), UpstreamOptions{OnAck: func(Ack) {}})
			check0(t, err)
			_, err = conn.OpenDownstream(background(t), DownstreamOptions{Filters: []Filter{{"nobody", "#:#"}}})
			check0(t, err)
		}
	}()
	until(t, "the release of the handles", func() bool {
		runtime.GC()
		return liveHandles.Load() == before
	})
}

func TestGoroutinesShareAStream(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	down, err := connect(t, url, "receiver").OpenDownstream(ctx, DownstreamOptions{Filters: []Filter{{"sender", "#:#"}}, QoS: Reliable})
	check0(t, err)
	up, err := connect(t, url, "sender").OpenUpstream(ctx, UpstreamOptions{QoS: Reliable})
	check0(t, err)
	want := map[string][]DataPoint{}
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		name := fmt.Sprint(i)
		for j := 0; j < 200; j++ {
			want["t:"+name] = append(want["t:"+name], DataPoint{time.Duration(j), []byte(name)})
		}
		group.Add(1)
		go func(points []DataPoint) {
			defer group.Done()
			id, err := up.DataID(name, "t")
			if err != nil {
				t.Error(err)
			}
			for _, point := range points {
				if err := up.Write(id, point.Elapsed, point.Payload); err != nil {
					t.Error(err)
				}
			}
		}(want["t:"+name])
	}
	group.Wait()
	check0(t, up.Close(ctx))
	equal(t, want, collect(t, down, 8*200))
}

func TestClosingWhileOthersWriteAndRead(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	conn := connect(t, url, "sender")
	up, err := conn.OpenUpstream(ctx, UpstreamOptions{})
	check0(t, err)
	down, err := conn.OpenDownstream(ctx, DownstreamOptions{Filters: []Filter{{"sender", "#:#"}}})
	check0(t, err)
	id, err := up.DataID("a", "t")
	check0(t, err)
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(2)
		go func() {
			defer group.Done()
			for {
				if err := up.Write(id, 0, []byte("x")); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		}()
		go func() {
			defer group.Done()
			for range down.Chunks() {
			}
		}()
	}
	<-down.Chunks()
	check0(t, up.Close(ctx))
	check0(t, down.Close(ctx))
	group.Wait()
}

// Waiting in the library must not take the one processor from the other goroutines.
func TestWaitingDoesNotStallTheScheduler(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx, url := background(t), startBroker(t)
	receiver := connect(t, url, "receiver")
	for i := 0; i < 8; i++ {
		down, err := receiver.OpenDownstream(ctx, DownstreamOptions{Filters: []Filter{{"nobody", "#:#"}}})
		check0(t, err)
		down.Chunks()
		down.Metadata()
	}
	down, err := receiver.OpenDownstream(ctx, DownstreamOptions{Filters: []Filter{{"sender", "#:#"}}, QoS: Reliable})
	check0(t, err)
	up, err := connect(t, url, "sender").OpenUpstream(ctx, UpstreamOptions{QoS: Reliable})
	check0(t, err)
	id, err := up.DataID("a", "t")
	check0(t, err)
	check0(t, up.Write(id, 0, []byte("x")))
	check0(t, up.Flush(ctx, FlushSent))
	equal(t, map[string][]DataPoint{"t:a": {{0, []byte("x")}}}, collect(t, down, 1))
	check0(t, receiver.Close(ctx))
}

func TestCalls(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	server, caller := connect(t, url, "server"), connect(t, url, "caller")
	go func() {
		for call := range server.Calls() {
			if err := call.Reply(ctx, "reply", call.Type, bytes.ToUpper(call.Payload)); err != nil {
				t.Error(err)
			}
		}
	}()
	reply, err := caller.Call(ctx, "server", "upper", "text", []byte("abc"))
	check0(t, err)
	equal(t, []string{"server", "reply", "text", "ABC"}, []string{reply.SourceNodeID, reply.Name, reply.Type, string(reply.Payload)})
	_, err = caller.Call(ctx, "nobody", "upper", "text", nil)
	if !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	check0(t, server.Close(ctx))
	for range server.Calls() {
	}
}

func TestExamples(t *testing.T) {
	url := startBroker(t)
	build := t.TempDir()
	output, err := exec.Command("go", "build", "-o", build, "./examples/...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	receive := exec.Command(build+"/receive", url)
	pipe, err := receive.StdoutPipe()
	check0(t, err)
	check0(t, receive.Start())
	t.Cleanup(func() { _ = receive.Process.Kill() })
	lines := bufio.NewScanner(pipe)
	lines.Scan()
	equal(t, "listening", lines.Text())
	output, err = exec.Command(build+"/send", url).CombinedOutput()
	equal(t, "the server confirmed every point\n", string(output))
	check0(t, err)
	for i := 0; i < 10; i++ {
		lines.Scan()
		equal(t, fmt.Sprintf("room/temperature %.1f s: %.1f", float64(i)/10, 20+float64(i)/10), lines.Text())
	}
	check0(t, receive.Wait())
}

func TestPointsWrittenTogetherStayTogetherAndTellTheirFilters(t *testing.T) {
	ctx, url := background(t), startBroker(t)
	receiver, sender := connect(t, url, "receiver"), connect(t, url, "sender")
	down, err := receiver.OpenDownstream(ctx, DownstreamOptions{
		Filters: []Filter{{"sender", "number:#"}, {"sender", "#:a"}, {"sender", "text:none"}}, QoS: Reliable,
		Extra: map[string]string{"chunk_order": "strict"},
	})
	check0(t, err)
	up, err := sender.OpenUpstream(ctx, UpstreamOptions{QoS: Reliable, Extra: map[string]string{"flush_policy": "immediate"}})
	check0(t, err)
	a, err := up.DataID("a", "number")
	check0(t, err)
	b, err := up.DataID("b", "number")
	check0(t, err)
	check0(t, up.WriteTogether([]UpstreamPoint{
		{a, DataPoint{-1, []byte("1")}}, {b, DataPoint{2, nil}}, {a, DataPoint{3, []byte("three")}},
	}))
	check0(t, up.WriteTogether(nil))
	if err := up.WriteTogether([]UpstreamPoint{{a, DataPoint{}}, {0, DataPoint{}}}); !errors.Is(err, ErrInvalidArgument) {
		t.Fatal(err)
	}
	chunk, err := down.Next(ctx)
	check0(t, err)
	got := map[string][]DataPoint{}
	for _, group := range chunk.Groups {
		got[group.Name] = append(got[group.Name], group.Points...)
		sort.Slice(group.Filters, func(i, j int) bool { return group.Filters[i] < group.Filters[j] })
		equal(t, map[string][]uint32{"a": {0, 1}, "b": {0}}[group.Name], group.Filters)
	}
	equal(t, map[string][]DataPoint{"a": {{-1, []byte("1")}, {3, []byte("three")}}, "b": {{2, []byte{}}}}, got)
}

// chaos is a proxy before a broker that injects faults.
type chaos struct {
	url    string
	input  io.Writer
	output *bufio.Reader
}

func startChaos(t *testing.T, url string) *chaos {
	t.Helper()
	command := exec.Command(os.Getenv("ISCP_PROGRAM"), "chaos", "--to", strings.TrimPrefix(url, "ws://"), "--commands")
	input, err := command.StdinPipe()
	check0(t, err)
	output, err := command.StdoutPipe()
	check0(t, err)
	check0(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	proxy := &chaos{input: input, output: bufio.NewReader(output)}
	line, err := proxy.output.ReadString('\n')
	check0(t, err)
	proxy.url = "ws://" + strings.Fields(line)[1]
	return proxy
}

func (c *chaos) do(t *testing.T, what string) {
	t.Helper()
	_, err := fmt.Fprintln(c.input, what)
	check0(t, err)
	// It tells of connections too.
	for line := ""; line != "ok "+what+"\n"; {
		line, err = c.output.ReadString('\n')
		check0(t, err)
	}
}

func TestStreamsTellHowTheyComeBackAndEnd(t *testing.T) {
	before := liveHandles.Load()
	ctx, proxy := background(t), startChaos(t, startBroker(t))
	conn, err := Connect(ctx, ConnOptions{URL: proxy.url, NodeID: "node", Extra: map[string]string{
		"close_timeout_ms": "100", "reconnect_min_interval_ms": "10", "reconnect_max_interval_ms": "50",
	}})
	check0(t, err)
	events, ends, downEnds := make(chan StreamEvent, 10), make(chan UpstreamEnd, 10), make(chan error, 10)
	up, err := conn.OpenUpstream(ctx, UpstreamOptions{
		QoS: Reliable, OnEvent: func(e StreamEvent) { events <- e }, OnClosed: func(e UpstreamEnd) { ends <- e },
	})
	check0(t, err)
	down, err := conn.OpenDownstream(ctx, DownstreamOptions{
		Filters: []Filter{{"node", "#:#"}}, OnEvent: func(e StreamEvent) { events <- e }, OnClosed: func(e error) { downEnds <- e },
	})
	check0(t, err)
	proxy.do(t, "cut")
	back := map[StreamEvent]bool{<-events: true, <-events: true}
	equal(t, map[StreamEvent]bool{{StreamResumed, up.ID, up.ID}: true, {StreamResumed, down.ID, down.ID}: true}, back)
	check0(t, down.Close(ctx))
	equal(t, nil, <-downEnds)
	proxy.do(t, "refuse")
	proxy.do(t, "cut")
	until(t, "the loss", func() bool { return conn.State() == StateReconnecting })
	id, err := up.DataID("a", "t")
	check0(t, err)
	check0(t, up.Write(id, 0, []byte("x")))
	if err := conn.Close(ctx); err == nil {
		t.Fatal("the point was not delivered")
	}
	end := <-ends
	equal(t, UpstreamEnd{end.Err, 1, []uint32{}}, end)
	if end.Err == nil {
		t.Fatal("no reason")
	}
	up.handle.release()
	until(t, "the release of the handlers", func() bool { return liveHandles.Load() == before })
}
