// Package dial connects to a server the way the samples of the client's documentation do: over a WebSocket at the path
// of intdash servers, with an access token that an OAuth2 server gives for the id and the secret of the node.
package dial

import (
	"context"
	"flag"
	"fmt"

	"github.com/aptpod/iscp-go/iscp"
	"github.com/aptpod/iscp-go/transport/websocket"
	"golang.org/x/oauth2/clientcredentials"
)

// Path is where intdash servers accept connections.
const Path = "/api/iscp/connect"

// Flags holds what every sample is told on its command line.
type Flags struct {
	Address, TokenURL, Node, Secret string
}

// Parse reads the command line.
func Parse() Flags {
	var f Flags
	flag.StringVar(&f.Address, "address", "localhost:8080", "HOST:PORT of the server")
	flag.StringVar(&f.TokenURL, "token-url", "http://localhost:8080/api/auth/oauth2/token", "token endpoint")
	flag.StringVar(&f.Node, "node", "", "id of the node, which is the client id for OAuth2")
	flag.StringVar(&f.Secret, "secret", "", "client secret of the node")
	flag.Parse()
	return f
}

// Connect gets a token before every attempt to connect; it goes into the HTTP request too.
func Connect(ctx context.Context, f Flags) (*iscp.Conn, error) {
	credentials := clientcredentials.Config{ClientID: f.Node, ClientSecret: f.Secret, TokenURL: f.TokenURL}
	tokens := credentials.TokenSource(ctx)
	first, err := tokens.Token()
	if err != nil {
		return nil, fmt.Errorf("no token: %w", err)
	}
	return iscp.Connect(f.Address, iscp.TransportNameWebSocket,
		iscp.WithConnNodeID(f.Node),
		iscp.WithConnWebSocket(websocket.DialerConfig{
			Path:        Path,
			TokenSource: &websocket.StaticTokenSource{StaticToken: &websocket.Token{Token: first.AccessToken}},
		}),
		iscp.WithConnTokenSource(iscp.TokenSourceFunc(func() (iscp.Token, error) {
			token, err := tokens.Token()
			if err != nil {
				return "", err
			}
			return iscp.Token(token.AccessToken), nil
		})))
}
