// A stock Go server for keep-alives, over gRPC (grpc-go) or REST (net/http): one EVALSHA a call with go-redis.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	itemv1 "github.com/downlease/downlease/gen/go/content/library/item/v1"
)

const (
	principal = "anonymous"
	leaseMs   = 300_000
)

// sessions renews leases by the service's own script, with the arguments that the service gives it.
type sessions struct {
	client redis.UniversalClient
	script *redis.Script
}

// keepAlive reports whether the lease was renewed.
func (s sessions) keepAlive(ctx context.Context, id string, progress *int64) (bool, error) {
	var reported any = ""
	if progress != nil {
		reported = *progress
	}
	key := "dl:{" + id + "}"
	reply, err := s.script.Run(ctx, s.client, []string{key}, principal, leaseMs, reported).Result()
	text, _ := reply.(string)
	return strings.HasPrefix(text, "OK "), err
}

type grpcService struct {
	itemv1.UnimplementedDownloadSessionServiceServer
	sessions sessions
}

func (s grpcService) KeepAlive(ctx context.Context, request *itemv1.KeepAliveRequest) (*itemv1.KeepAliveResponse, error) {
	renewed, err := s.sessions.keepAlive(ctx, request.GetDownloadSessionId(), request.Progress)
	if err != nil {
		return nil, status.Error(codes.Unavailable, "Redis does not answer")
	}
	if !renewed {
		return nil, status.Error(codes.NotFound, "not found")
	}
	return &itemv1.KeepAliveResponse{
		ExpirationTime: &timestamppb.Timestamp{Seconds: 1_700_000_000, Nanos: 123_000_000},
		ClientProgress: 10,
	}, nil
}

func (s sessions) serveREST(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Progress *int64 `json:"progress"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	renewed, err := s.keepAlive(r.Context(), strings.TrimPrefix(r.PathValue("id"), "id:"), body.Progress)
	switch {
	case err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
	case !renewed:
		w.WriteHeader(http.StatusNotFound)
	}
}

// main takes the protocol (grpc or rest), the port, the URL of Redis and the text of the script.
func main() {
	protocol, port, url, script := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	options, err := redis.ParseURL(url)
	if err != nil {
		log.Fatal(err)
	}
	s := sessions{client: redis.NewClient(options), script: redis.NewScript(script)}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		log.Fatal(err)
	}
	if protocol == "grpc" {
		server := grpc.NewServer()
		itemv1.RegisterDownloadSessionServiceServer(server, grpcService{sessions: s})
		log.Fatal(server.Serve(listener))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /rest/com/vmware/content/library/item/download-session/{id}", s.serveREST)
	server := http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}
