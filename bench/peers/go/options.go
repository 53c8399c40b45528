package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The command line: WORKER ROLE key=value …
type options struct {
	role, url, session string
	// File with the certificate that the broker's must come from; without it, none is demanded.
	ca      string
	payload int
	points  int64
	ids     int
	// Points per second, 0: as fast as they are accepted.
	rate     float64
	reliable bool
	json     bool
	// Level, 0: none.
	compression int
	immediate   bool
	connections int
	idleS       float64
}

// What the client does not have: status 64.
type unsupported string

func (u unsupported) Error() string {
	return string(u)
}

func parseOptions(arguments []string) (*options, error) {
	if len(arguments) == 0 {
		return nil, errors.New("usage: go ROLE key=value ...")
	}
	o := &options{
		role:        arguments[0],
		session:     "bench",
		payload:     32,
		points:      1000,
		ids:         1,
		reliable:    true,
		connections: 1,
		idleS:       5,
	}
	for _, argument := range arguments[1:] {
		key, value, found := strings.Cut(argument, "=")
		if !found {
			return nil, fmt.Errorf("%s is not of the form key=value", argument)
		}
		if err := o.set(key, value); err != nil {
			return nil, err
		}
	}
	if o.url == "" {
		return nil, errors.New("url= is missing")
	}
	if o.role == "e2e" && o.payload < stampSize {
		return nil, fmt.Errorf("payload=%d has no room for the time stamp of e2e", o.payload)
	}
	return o, nil
}

func (o *options) set(key, value string) (err error) {
	whole := func(least, most int) int {
		number, failure := strconv.Atoi(value)
		if failure != nil || number < least || number > most {
			err = fmt.Errorf("%s=%s is not a whole number from %d to %d", key, value, least, most)
		}
		return number
	}
	real := func(most float64) float64 {
		number, failure := strconv.ParseFloat(value, 64)
		if failure != nil || !(number >= 0 && number <= most) {
			err = fmt.Errorf("%s=%s is not a number from 0 to %g", key, value, most)
		}
		return number
	}
	second := func(first, other string) bool {
		if value != first && value != other {
			err = fmt.Errorf("%s=%s is neither %s nor %s", key, value, first, other)
		}
		return value == other
	}
	switch key {
	case "url":
		o.url = value
	case "session":
		o.session = value
	case "ca":
		o.ca = value
	case "payload":
		o.payload = whole(0, 16*1024*1024)
	case "points":
		o.points = int64(whole(1, 100_000_000))
	case "ids":
		o.ids = whole(1, 10_000)
	case "rate":
		o.rate = real(1e9)
	case "qos":
		o.reliable = second("unreliable", "reliable")
	case "encoding":
		o.json = second("protobuf", "json")
	case "compression":
		o.compression = whole(0, 9)
	case "flush":
		o.immediate = second("default", "immediate")
	case "connections":
		o.connections = whole(1, 100_000)
	case "idle_s":
		o.idleS = real(3600)
	default:
		err = unsupported("there is no option " + key)
	}
	return err
}
