"""What a Pod file may say beside what the lab reads, because it changes nothing here.

Above all Kubernetes' defaults, which `kubectl run --dry-run=client -o yaml` and `kubectl get -o yaml` write
out, and what is empty. Every other value of these keys is an error.
"""

from collections.abc import Mapping

from lab.validation import ANYTHING

__all__ = ["CONTAINER", "METADATA", "POD", "PORT", "SPEC"]

Ignored = Mapping[str, tuple[object, ...]]

POD: Ignored = {"status": ANYTHING}  # the server's to write

METADATA: Ignored = {
    "namespace": ("default",),
    "annotations": ({},),
    **dict.fromkeys(("creationTimestamp", "generation", "resourceVersion", "uid"), ANYTHING),  # the server's
}

SPEC: Ignored = {
    "dnsPolicy": ("ClusterFirst",),
    "enableServiceLinks": (True, False),  # there are no services
    "preemptionPolicy": ("PreemptLowerPriority",),
    "priority": (0,),
    "schedulerName": ("default-scheduler",),
    "serviceAccount": ("default",),
    "serviceAccountName": ("default",),
    "automountServiceAccountToken": (False,),
    "terminationGracePeriodSeconds": (30,),
    **dict.fromkeys(("hostIPC", "hostNetwork", "hostPID", "shareProcessNamespace"), (False,)),
    **dict.fromkeys(("affinity", "nodeSelector", "securityContext"), ({},)),
    **dict.fromkeys(("hostAliases", "imagePullSecrets", "initContainers", "tolerations", "volumes"), ([],)),
}

CONTAINER: Ignored = {
    # Images come from the engine that runs the lab; nothing is pulled later, so every policy comes to that.
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "resources": ({}, {"limits": {}}, {"requests": {}}, {"limits": {}, "requests": {}}),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "securityContext": ({},),
    **dict.fromkeys(("stdin", "stdinOnce", "tty"), (False,)),
    **dict.fromkeys(("envFrom", "volumeDevices", "volumeMounts"), ([],)),
}

PORT: Ignored = {"hostIP": ("",), "hostPort": (0,)}
