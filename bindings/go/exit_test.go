package iscp

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// Programs that end while they are connected: the test starts itself again for each.
var exits = map[string]func(url string){
	"returning from main": func(url string) { open(url) },
	"os.Exit": func(url string) {
		open(url)
		os.Exit(0)
	},
	"with goroutines that wait": func(url string) {
		conn, _ := open(url)
		down, err := conn.OpenDownstream(context.Background(), DownstreamOptions{Filters: []Filter{{"nobody", "#:#"}}})
		must(err)
		down.Chunks()
		down.Metadata()
		conn.Calls()
	},
	"with callbacks on their way": func(url string) {
		_, up := open(url)
		id, err := up.DataID("a", "t")
		must(err)
		for i := 0; i < 2000; i++ {
			must(up.Write(id, 0, []byte("x")))
		}
	},
	"in the middle of writing": func(url string) {
		_, up := open(url)
		id, err := up.DataID("a", "t")
		must(err)
		go func() {
			for up.Write(id, 0, []byte("x")) == nil {
			}
		}()
		must(up.Flush(context.Background(), FlushAcknowledged))
	},
	"with a token source that does not answer": func(url string) {
		asked := make(chan struct{})
		go func() {
			_, _ = Connect(context.Background(), ConnOptions{URL: url, TokenSource: func() (string, error) {
				close(asked)
				select {}
			}})
		}()
		<-asked
	},
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// open makes a connection and an upstream with callbacks.
func open(url string) (*Conn, *Upstream) {
	conn, err := Connect(context.Background(), ConnOptions{
		URL: url, OnEvent: func(Event) {}, TokenSource: func() (string, error) { return "", nil },
	})
	must(err)
	up, err := conn.OpenUpstream(context.Background(), UpstreamOptions{
		QoS: Reliable, OnAck: func(Ack) {}, Extra: map[string]string{"flush_policy": "immediate", "ack_interval_ms": "0"},
	})
	must(err)
	return conn, up
}

func TestTheProcessEndsCleanlyWhileConnected(t *testing.T) {
	url := startBroker(t)
	for name := range exits {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			command := exec.CommandContext(ctx, os.Args[0])
			command.Env = append(os.Environ(), "ISCP_TEST_EXIT="+name, "ISCP_TEST_URL="+url)
			output, err := command.CombinedOutput()
			if err != nil || len(output) != 0 {
				t.Fatalf("%v\n%s", err, output)
			}
		})
	}
}
