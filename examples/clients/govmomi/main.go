// What a program that uses govmomi asks of downlease. `ls` and `info` look things up as `govc library.ls` and
// `govc library.info` do, with the same packages; `lease` takes download sessions through their lives.
//
//	go run ./examples/clients/govmomi http://USER:PASSWORD@HOST:PORT ls|info [/LIBRARY[/ITEM[/FILE]]]
//	go run ./examples/clients/govmomi http://USER:PASSWORD@HOST:PORT lease ITEM_ID
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/vmware/govmomi/session/cache"
	"github.com/vmware/govmomi/vapi/library"
	"github.com/vmware/govmomi/vapi/library/finder"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/soap"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 {
		args = append(args, "")
	}
	if len(args) != 3 {
		return errors.New("usage: govmomi URL ls|info|lease [PATH|ITEM_ID]")
	}
	address, command, what := args[0], args[1], args[2]
	u, err := soap.ParseURL(address)
	if err != nil {
		return err
	}
	// As govc does it. The login is kept in $GOVMOMI_HOME (~/.govmomi) and used again for as long as it is valid.
	login := &cache.Session{URL: u}
	client := new(rest.Client)
	if err := login.Login(ctx, client, nil); err != nil {
		return err
	}
	manager := library.NewManager(client)
	switch command {
	case "ls":
		return list(ctx, manager, what)
	case "info":
		return info(ctx, manager, what)
	case "lease":
		return lease(ctx, manager, what)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

func list(ctx context.Context, manager *library.Manager, path string) error {
	found, err := finder.NewFinder(manager).Find(ctx, path)
	for _, each := range found {
		fmt.Println(each.GetPath())
	}
	return err
}

func info(ctx context.Context, manager *library.Manager, path string) error {
	found, err := finder.NewFinder(manager).Find(ctx, path)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

// lease opens download sessions for an item and takes them through all that govmomi can ask of them.
func lease(ctx context.Context, manager *library.Manager, item string) error {
	id, err := create(ctx, manager, item)
	if err != nil {
		return err
	}
	if err := manager.KeepAliveLibraryItemDownloadSession(ctx, id); err != nil {
		return err
	}
	// govmomi's own keep-alive cannot report the progress.
	if err := keepAlive(ctx, manager, id, 40); err != nil {
		return err
	}
	if err := show(ctx, manager, "kept alive", id); err != nil {
		return err
	}
	if err := manager.CancelLibraryItemDownloadSession(ctx, id); err != nil {
		return err
	}
	if err := show(ctx, manager, "canceled", id); err != nil {
		return err
	}
	fmt.Println("keep-alive refused:", manager.KeepAliveLibraryItemDownloadSession(ctx, id))
	if err := manager.DeleteLibraryItemDownloadSession(ctx, id); err != nil {
		return err
	}
	_, err = manager.GetLibraryItemDownloadSession(ctx, id)
	fmt.Println("deleted:", err)

	failed, err := create(ctx, manager, item)
	if err != nil {
		return err
	}
	if err := manager.FailLibraryItemDownloadSession(ctx, failed); err != nil {
		return err
	}
	if err := show(ctx, manager, "failed", failed); err != nil {
		return err
	}
	return manager.DeleteLibraryItemDownloadSession(ctx, failed)
}

func create(ctx context.Context, manager *library.Manager, item string) (string, error) {
	id, err := manager.CreateLibraryItemDownloadSession(ctx, library.Session{LibraryItemID: item})
	if err != nil {
		return "", err
	}
	return id, show(ctx, manager, "created", id)
}

func keepAlive(ctx context.Context, manager *library.Manager, id string, progress int64) error {
	resource := manager.Resource("/com/vmware/content/library/item/download-session").WithID(id)
	body := map[string]int64{"progress": progress}
	return manager.Do(ctx, resource.WithAction("keep-alive").Request(http.MethodPost, body), nil)
}

// show reads the session, and finds it in the list of the caller's sessions.
func show(ctx context.Context, manager *library.Manager, what, id string) error {
	session, err := manager.GetLibraryItemDownloadSession(ctx, id)
	if err != nil {
		return err
	}
	listed, err := manager.ListLibraryItemDownloadSession(ctx)
	if err != nil {
		return err
	}
	for _, each := range listed {
		if each == id {
			fmt.Printf("%s: %s, progress %d\n", what, session.State, session.ClientProgress)
			return nil
		}
	}
	return fmt.Errorf("session %s is not in the list of %d", id, len(listed))
}
