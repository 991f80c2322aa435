// Holds a lease with the code that protoc makes for Go. Arguments: address, item.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	itemv1 "github.com/downlease/downlease/gen/go/content/library/item/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := itemv1.NewDownloadSessionServiceClient(connection)
	spec := &itemv1.DownloadSessionModel{LibraryItemId: &os.Args[2]}
	created, err := client.Create(ctx, &itemv1.CreateRequest{CreateSpec: spec})
	check(err)
	progress := int64(40)
	id := created.GetDownloadSessionId()
	_, err = client.KeepAlive(ctx, &itemv1.KeepAliveRequest{DownloadSessionId: id, Progress: &progress})
	check(err)
	got, err := client.Get(ctx, &itemv1.GetRequest{DownloadSessionId: id})
	check(err)
	fmt.Println("progress", got.GetDownloadSession().GetClientProgress())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
