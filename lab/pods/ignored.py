"""The keys of a Pod file that are accepted but ignored, because they have no effect here.

They are mainly Kubernetes' defaults, which `kubectl run --dry-run=client -o yaml` and `kubectl get -o yaml`
write out, and empty values. Any other value of these keys is an error.
"""

from collections.abc import Mapping

from lab.validation import ANYTHING

__all__ = ["CONTAINER", "METADATA", "POD", "PORT", "SPEC"]

Ignored = Mapping[str, tuple[object, ...]]

POD: Ignored = {"status": ANYTHING}  # written by the server

METADATA: Ignored = {
    "namespace": ("default",),
    "annotations": ({},),
    **dict.fromkeys(
        ("creationTimestamp", "generation", "resourceVersion", "uid"), ANYTHING
    ),  # written by the server
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
    # Images come from the engine that runs the lab, and nothing is pulled later, so all policies mean the
    # same.
    "imagePullPolicy": ("Always", "IfNotPresent", "Never"),
    "resources": ({}, {"limits": {}}, {"requests": {}}, {"limits": {}, "requests": {}}),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "securityContext": ({},),
    **dict.fromkeys(("stdin", "stdinOnce", "tty"), (False,)),
    **dict.fromkeys(("envFrom", "volumeDevices", "volumeMounts"), ([],)),
}

PORT: Ignored = {"hostIP": ("",), "hostPort": (0,)}
