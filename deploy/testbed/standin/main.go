// Standin stands in for the apps of the cookbook that no test can get: by the name that it is started with it is Dash,
// cellxgene or scelvis. It serves only if it was given all that the recipe promises to such an app, and ends with a
// sentence otherwise. Its page has a script at the address that the app was told of, which asks the app back there.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// data is what the recipes load from the internet. Only a file of Kiosc's own is really fetched.
const (
	data     = "https://cellxgene-example-data.czi.technology/pbmc3k.h5ad"
	kioscWeb = "kiosc-web:8080"
	patience = 30 * time.Second
)

// app is what an app has been told: where it listens, at what path visitors see it (empty for wherever it is), and what
// its page tells of its data.
type app struct{ listen, prefix, shows string }

var apps = map[string]func(args []string) (app, error){"dash": dash, "cellxgene": cellxgene, "scelvis": scelvis}

func main() {
	log.SetFlags(0)
	name := path.Base(os.Args[0])
	a, err := apps[name](os.Args[1:])
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>%s</title><h1>%[1]s</h1><p id="shows">%s</p><p id="answer"></p><script src="%[3]sapp.js" data-base="%[3]s"></script>`,
			name, html.EscapeString(a.shows), html.EscapeString(a.prefix))
	})
	http.HandleFunc("GET /app.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		io.WriteString(w, `fetch(document.currentScript.dataset.base + "callback", {method: "POST", body: "6 * 7"}).then((r) => r.json()).then((a) => {
			document.getElementById("answer").textContent = a.asked + " = 42" })`)
	})
	http.HandleFunc("POST /callback", func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(io.LimitReader(r.Body, 100))
		if err == nil {
			err = json.NewEncoder(w).Encode(map[string]string{"asked": string(asked)})
		}
		if err != nil {
			log.Print(err)
		}
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	server := &http.Server{Addr: a.listen, ReadHeaderTimeout: patience, BaseContext: func(l net.Listener) context.Context {
		log.Printf("%s serves at %s: %s", name, l.Addr(), a.shows)
		return context.Background()
	}}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	log.Printf("%s ends", name)
}

var proxyPath = regexp.MustCompile(`^/containers/proxy/[0-9a-f-]{36}/$`)

// prefixed is an app that is told its address by a variable.
func prefixed(variable string) (app, error) {
	prefix := os.Getenv(variable)
	if !proxyPath.MatchString(prefix) {
		return app{}, fmt.Errorf("%s is %q and no address of an app", variable, prefix)
	}
	return app{listen: ":8050", prefix: prefix}, nil
}

func dash(args []string) (app, error) {
	if len(args) > 0 {
		return app{}, fmt.Errorf("has arguments: %q", args)
	}
	return prefixed("PUBLIC_URL_PREFIX")
}

func scelvis(args []string) (app, error) {
	a, err := prefixed("SCELVIS_URL_PREFIX")
	source, port := os.Getenv("SCELVIS_DATA_SOURCES"), os.Getenv("CONTAINER_PORT")
	switch {
	case err != nil:
	case strings.Join(args, " ") != "run":
		err = fmt.Errorf("has the arguments %q", args)
	case source != data:
		err = fmt.Errorf("has the data source %q", source)
	case port != "8050" || os.Getenv("TITLE") == "":
		err = fmt.Errorf("isn't told of its container: port %q, title %q", port, os.Getenv("TITLE"))
	}
	a.shows = fmt.Sprintf("%s of %s: %s", source, os.Getenv("TITLE"), os.Getenv("DESCRIPTION"))
	return a, err
}

func cellxgene(args []string) (app, error) {
	if len(args) < 2 || args[0] != "launch" {
		return app{}, fmt.Errorf("has the arguments %q", args)
	}
	flags := flag.NewFlagSet("cellxgene launch", flag.ContinueOnError)
	port, host, verbose := flags.String("p", "5005", ""), flags.String("host", "127.0.0.1", ""), flags.Bool("verbose", false, "")
	if err := flags.Parse(args[2:]); err != nil {
		return app{}, err
	}
	if !*verbose {
		return app{}, errors.New("isn't asked to be verbose")
	}
	shows := args[1]
	if shows != data {
		from, err := url.Parse(shows)
		if err != nil || from.Host != kioscWeb {
			return app{}, fmt.Errorf("has the data %q", shows)
		}
		sum, err := fetch(shows)
		if err != nil {
			return app{}, err
		}
		shows = fmt.Sprintf("%s with the SHA-256 %x", path.Base(from.Path), sum)
	}
	return app{listen: net.JoinHostPort(*host, *port), shows: shows}, nil
}

func fetch(address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", address, answer.Status)
	}
	sum := sha256.New()
	_, err = io.Copy(sum, answer.Body)
	return sum.Sum(nil), err
}
