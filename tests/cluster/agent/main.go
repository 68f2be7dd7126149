// Command agent does for the test cluster what a cloud and a network plug-in do for others: it enforces
// NetworkPolicies, gives LoadBalancer Services an address, makes volumes for claims and stands in for every image
// registry. It also writes images from folders and waits for the cluster on behalf of the start script.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const usage = `usage:
  agent run --kubeconfig FILE --node NAME --addresses CIDR --volumes DIR   until it is told to end
  agent wait --kubeconfig FILE api|ready                                   until the API server answers, or node and DNS too
  agent image NAME[,NAME…] DIR [ENTRYPOINT…]                               a folder as an image archive on standard output
  agent image-ready SOCKET NAME…                                           until the container runtime shows the images`

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(os.Args) < 2 {
		fail(fmt.Errorf("%s", usage))
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "run":
		fail(run(ctx, args))
	case "wait":
		fail(wait(ctx, args))
	case "image":
		if len(args) < 2 {
			fail(fmt.Errorf("%s", usage))
		}
		fail(writeImage(os.Stdout, strings.Split(args[0], ","), args[1], args[2:]))
	case "image-ready":
		if len(args) < 2 {
			fail(fmt.Errorf("%s", usage))
		}
		fail(waitForImages(ctx, args[0], args[1:]))
	default:
		fail(fmt.Errorf("%s", usage))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "podlife-test-agent"
	config.QPS, config.Burst = 100, 200
	return kubernetes.NewForConfig(config)
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "how to reach the API server")
	node := flags.String("node", "", "the node whose pods are isolated")
	addresses := flags.String("addresses", "", "the block that LoadBalancer addresses are taken from")
	volumes := flags.String("volumes", "", "the folder of the volumes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	block, err := netip.ParsePrefix(*addresses)
	if err != nil {
		return err
	}
	client, err := newClient(*kubeconfig)
	if err != nil {
		return err
	}

	go serveRegistry()
	factory := informers.NewSharedInformerFactory(client, 0)
	enforcer, err := newEnforcer(client, factory, *node)
	if err != nil {
		return err
	}
	reconcilers := []*reconciler{
		enforcer,
		newLoadBalancer(client, factory, block),
		newProvisioner(client, factory, *volumes),
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for _, r := range reconcilers {
		go r.loop(ctx)
	}
	<-ctx.Done()
	return nil
}

// reconciler runs one function after changes, never twice at once: changes during a run lead to one more run.
type reconciler struct {
	name    string
	changed chan struct{}
	// reconcile returns when to run again without a change; zero means never.
	reconcile func(context.Context) (time.Duration, error)
}

func newReconciler(name string) *reconciler {
	return &reconciler{name: name, changed: make(chan struct{}, 1)}
}

func (r *reconciler) notify() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// watch runs a reconciler after every change of what an informer sees.
func watch(informer cache.SharedIndexInformer, r *reconciler) {
	if _, err := informer.AddEventHandler(r); err != nil {
		log.Fatal(err) // only after the informer has stopped
	}
}

// OnAdd, OnUpdate and OnDelete make a reconciler the event handler of an informer.
func (r *reconciler) OnAdd(any, bool)   { r.notify() }
func (r *reconciler) OnUpdate(_, _ any) { r.notify() }
func (r *reconciler) OnDelete(any)      { r.notify() }

func (r *reconciler) loop(ctx context.Context) {
	r.notify()
	again := time.NewTimer(time.Hour)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		case <-again.C:
		}
		after, err := r.reconcile(ctx)
		if err != nil {
			log.Printf("%s: %v", r.name, err)
			after = time.Second
		}
		if after == 0 {
			after = time.Hour
		}
		again.Reset(after)
		time.Sleep(20 * time.Millisecond) // a burst of changes is one
	}
}
