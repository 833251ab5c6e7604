"""Files and folders, copied onto machines and pods and from there: `lab cp`."""
