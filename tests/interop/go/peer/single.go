//go:build !multi

package main

import (
	"errors"

	"github.com/aptpod/iscp-go/iscp"
)

func connectMulti(fields, []iscp.ConnOption) (*iscp.Conn, error) {
	return nil, errors.New("this version has no multi-transport")
}
