"""What the document shows: its files and outputs to the letter, as far as it shows any.

Its underlay interface is called eno16777736, which is eth0 here; and its device flags are lost, as they look
like HTML.
"""

__all__ = ["CONFIG", "IP_A", "LEASES", "LISTEN", "LOGIN", "POD", "PODS", "POD_IP_A", "SYSCONFIG", "UNIT"]

CONFIG = '{ "Network": "10.2.0.0/16" }'

LISTEN = 'ETCD_LISTEN_CLIENT_URLS="http://0.0.0.0:2379"'

SYSCONFIG = """\
# Flanneld configuration options
# etcd url location
FLANNEL_ETCD="http://centos-master:2379"

# etcs config key
FLANNEL_ETCD_KEY="/coreos.com/network"

# Any additonal options
#FLANNEL_OPTIONS=
"""

UNIT = """\
[Unit]
Description=Flanneld overlay address etcd agent
After=network.target
Before=docker.service

[Service]
Type=notify
EnvironmentFile=-/etc/sysconfig/flanneld
EnvironmentFile=-/etc/sysconfig/docker-network
ExecStart=/usr/bin/flanneld \\
            -etcd-endpoints=${FLANNEL_ETCD} \\
            $FLANNEL_OPTIONS

[Install]
RequiredBy=docker.service
WantedBy=multi-user.target
"""

IP_A = """\
1: lo:  mtu 65536 qdisc noqueue state UNKNOWN
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
2: eth0:  mtu 1500 qdisc pfifo_fast state UP qlen 1000
    link/ether 00:0c:29:66:c0:bf brd ff:ff:ff:ff:ff:ff
    inet 192.168.199.52/24 brd 192.168.199.255 scope global eth0
       valid_lft forever preferred_lft forever
3: docker0:  mtu 1500 qdisc noqueue state DOWN
    link/ether 02:42:c8:3e:ab:b3 brd ff:ff:ff:ff:ff:ff
    inet 10.2.35.1/24 brd 10.2.35.255 scope global docker0
       valid_lft forever preferred_lft forever
4: flannel0:  mtu 1472 qdisc pfifo_fast state UNKNOWN qlen 500
    link/none
    inet 10.2.35.0/16 scope global flannel0
       valid_lft forever preferred_lft forever
"""
"""On centos-minion01."""

LEASES = """\
/coreos.com/network/subnets/10.2.35.0-24
/coreos.com/network/subnets/10.2.52.0-24
"""

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: mysql01
  labels:
    name: mysql01
spec:
  containers:
  - name: mysql01
    image: mysql
    env:
    - name: MYSQL_ROOT_PASSWORD
      value: p123456
    ports:
    - containerPort: 3306
"""
"""mysqlpod01.yaml; mysqlpod02.yaml is the same with 02."""

PODS = """\
NAME      READY     STATUS    RESTARTS   AGE       NODE
mysql01   1/1       Running   0          10m       centos-minion02
mysql02   1/1       Running   0          7m        centos-minion01
"""

POD_IP_A = """\
1: lo:  mtu 65536 qdisc noqueue state UNKNOWN group default
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
5: eth0@if6:  mtu 1500 qdisc noqueue state UP group default
    link/ether 02:42:0a:02:23:02 brd ff:ff:ff:ff:ff:ff
    inet 10.2.35.2/24 scope global eth0
       valid_lft forever preferred_lft forever
"""
"""In mysql02, on centos-minion01."""

LOGIN = """\
Enter password:
Welcome to the MySQL monitor.  Commands end with ; or \\g.
Your MySQL connection id is 2
Server version: 5.7.10 MySQL Community Server (GPL)

Copyright (c) 2000, 2015, Oracle and/or its affiliates. All rights reserved.

Type 'help;' or '\\h' for help. Type '\\c' to clear the current input statement.

mysql>
"""
