// Command cluster is a whole single-node Kubernetes in one program, for tests.
//
//	cluster etcd|apiserver|controller-manager|scheduler|kubelet|proxy|kubectl [flags]
//	cluster certificates -dir DIR -names a,b,c       a throw-away authority, certificates, kubeconfigs
//	cluster image -registry HOST:PORT -name NAME -tag TAG -binary FILE
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: cluster COMPONENT [flags]; see the comment at the top of main.go")
		os.Exit(2)
	}
	part := os.Args[1]
	// The components read os.Args themselves.
	os.Args = os.Args[1:]
	if command := component(part); command != nil {
		os.Exit(cli.Run(command))
	}
	if err := helper(part, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster %s: %v\n", part, err)
		os.Exit(1)
	}
}

// component makes the command of one part of Kubernetes. Only the part asked for may be made: each registers flags and
// feature gates for the whole process.
func component(part string) *cobra.Command {
	switch part {
	case "apiserver":
		return apiserver.NewAPIServerCommand()
	case "controller-manager":
		return controllers.NewControllerManagerCommand()
	case "scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "proxy":
		return proxy.NewProxyCommand()
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

func helper(part string, arguments []string) error {
	switch part {
	case "etcd":
		return serveEtcd(arguments)
	case "certificates":
		return writeCertificates(arguments)
	case "image":
		return pushImage(arguments)
	}
	return fmt.Errorf("no such part; see the comment at the top of main.go")
}
