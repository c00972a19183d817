// Command ferretdb serves the MongoDB wire protocol from SQLite files: FerretDB v1, embedded.
//
// It stands in for mongod where only a Go module proxy can be had. It listens on the address it is
// given, keeps one SQLite file per database in -data, logs to standard error, and ends on SIGTERM
// or SIGINT after closing its files. What FerretDB does not do as MongoDB does: ../README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

const ferretModule = "github.com/FerretDB/FerretDB"

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "ferretdb: %s\n", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:17017", "address to listen on")
	data := flag.String("data", "data", "directory of the SQLite files, made if missing")
	verbose := flag.Bool("verbose", false, "log every connection")
	showVersion := flag.Bool("version", false, "print FerretDB's version and end")
	flag.Parse()

	if *showVersion {
		fmt.Println(ferretVersion())
		return nil
	}

	uri, err := sqliteURI(*data)
	if err != nil {
		return err
	}

	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *listen},
		Logger:    logger,
		Handler:   "sqlite",
		SQLiteURL: uri,
	})
	if err != nil {
		return fmt.Errorf("cannot serve %s on %s: %w", *data, *listen, err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	fmt.Fprintf(os.Stderr, "ferretdb %s on %s, data in %s\n", ferretVersion(), *listen, *data)
	return server.Run(ctx)
}

// ferretVersion is the version of the module that was linked in.
func ferretVersion() string {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, module := range info.Deps {
			if module.Path == ferretModule {
				return module.Version
			}
		}
	}
	return "unknown"
}

// sqliteURI makes the directory and returns the URI that FerretDB wants: absolute, ending in a slash.
// synchronous(full) makes every acknowledged write durable, which is what {w: "majority", j: true}
// promises; FerretDB itself ignores the write concern.
func sqliteURI(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)"}}
	uri := url.URL{Scheme: "file", Path: path + "/", RawQuery: pragmas.Encode()}
	return uri.String(), nil
}
