"""Who may associate, and with which rights: titles, addresses, certificates, passcodes."""
