package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// open listens on exactly the kind of socket that the address names: 0.0.0.0 is IPv4 only, [::] takes both families
// unless only IPv6 is wanted, and [::ffff:127.0.0.1] is an IPv6 socket bound to an IPv4 address, as Java's are.
func open(v6only bool, address string) (net.Listener, error) {
	if strings.HasPrefix(address, "[::ffff:") {
		return openMapped(address)
	}
	network := "tcp4"
	if strings.HasPrefix(address, "[") || strings.HasPrefix(address, ":") {
		network = "tcp"
	}
	if v6only {
		network = "tcp6"
	}
	config := net.ListenConfig{}
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), network, address)
}

func openMapped(address string) (net.Listener, error) {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	socket, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(socket), address)
	defer file.Close() // the listener has its own copy
	for _, option := range []struct{ level, name, value int }{
		{syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1},
		{syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 0},
	} {
		if err := syscall.SetsockoptInt(socket, option.level, option.name, option.value); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet6{Port: int(target.Port()), Addr: target.Addr().As16()}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(socket, syscall.SOMAXCONN); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(file)
}

// holdConnections accepts, says TCP_BANNER if there is one, and keeps quiet until the client goes. With TCP_STRICT nobody may say anything.
func holdConnections(listener net.Listener, failed chan<- error) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			failed <- err
			return
		}
		go func() {
			defer connection.Close()
			if text("TCP_BANNER") != "" {
				connection.Write([]byte(escaped("TCP_BANNER")))
			}
			buffer := make([]byte, 4096)
			for {
				if _, err := connection.Read(buffer); err != nil {
					return
				}
				if text("TCP_STRICT") != "" {
					fmt.Println("was sent something")
					os.Exit(1)
				}
			}
		}()
	}
}

func echoUDP(address string, failed chan<- error) error {
	connection, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, from, err := connection.ReadFrom(buffer)
			if err != nil {
				failed <- err
				return
			}
			connection.WriteTo(buffer[:n], from)
		}
	}()
	return nil
}

// selfSigned makes certificates for TLS_NAMES (default localhost), expired if TLS_EXPIRED is set, and prints them. As an ingress (ROUTES) each name
// has one of its own, and whoever asks for another name gets one for nobody, as ingress controllers do it.
func selfSigned() (*tls.Config, error) {
	names := list("TLS_NAMES", "localhost")
	config := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	if text("ROUTES") == "" {
		certificate, err := certificateFor(names)
		config.Certificates = []tls.Certificate{certificate}
		return config, err
	}
	byName := map[string]*tls.Certificate{}
	for _, name := range append(names, "") {
		of := []string{name}
		if name == "" {
			of = []string{"default.invalid"}
		}
		certificate, err := certificateFor(of)
		if err != nil {
			return nil, err
		}
		byName[name] = &certificate
	}
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if certificate, found := byName[hello.ServerName]; found {
			return certificate, nil
		}
		return byName[""], nil
	}
	return config, nil
}

func certificateFor(names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	from, to := time.Now().Add(-48*time.Hour), time.Now().AddDate(10, 0, 0)
	if text("TLS_EXPIRED") != "" {
		to = time.Now().Add(-24 * time.Hour)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	fmt.Printf("%s", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
