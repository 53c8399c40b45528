package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aptpod/iscp-go/message"
)

// A line is COMMAND KEY=VALUE KEY=VALUE.
type fields map[string]string

func parse(line string) (string, fields) {
	words := strings.Fields(line)
	f := fields{}
	if len(words) == 0 {
		return "", f
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		f[key] = value
	}
	return words[0], f
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// Text without the characters that separate: percent-encoded as in URLs.
func escape(text string) string {
	var escaped strings.Builder
	for _, character := range text {
		if character <= ' ' || character == '%' {
			fmt.Fprintf(&escaped, "%%%02X", character)
		} else {
			escaped.WriteRune(character)
		}
	}
	return escaped.String()
}

// Points are ELAPSED:HEX,ELAPSED:HEX.
func parsePoints(text string) ([]*message.DataPoint, error) {
	var points []*message.DataPoint
	for _, part := range split(text) {
		elapsed, payload, _ := strings.Cut(part, ":")
		nanoseconds, err := strconv.ParseInt(elapsed, 10, 64)
		if err != nil {
			return nil, err
		}
		bytes, err := hex.DecodeString(payload)
		if err != nil {
			return nil, err
		}
		points = append(points, &message.DataPoint{ElapsedTime: time.Duration(nanoseconds), Payload: bytes})
	}
	return points, nil
}
