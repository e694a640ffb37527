from escadm.cli.app import main

main()
