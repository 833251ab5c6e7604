"""Logs in at a MySQL server as root, with the password in MYSQL_PWD, and prints a query's answer, by tabs.

    login ADDRESS QUERY SECONDS

This file runs on a machine of the lab, in the network of a pod, and needs PyMySQL.
"""

import os
import sys

import pymysql

if __name__ == "__main__":
    address, query, seconds = sys.argv[1:]
    password = os.fsencode(os.environ["MYSQL_PWD"])  # pymysql would encode a str as Latin-1
    server = pymysql.connect(host=address, user="root", password=password, connect_timeout=int(seconds))
    with server, server.cursor() as cursor:
        cursor.execute(query)
        sys.stdout.write("\t".join(str(each) for each in cursor.fetchone() or ()))
