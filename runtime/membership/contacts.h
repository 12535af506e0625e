/* contacts: the addresses to dial first. They come from host names (all addresses of each, looked up again while they are needed),
 * or from a shared folder in which every peer leaves its own. */
#ifndef KOLO_MEMBERSHIP_CONTACTS_H
#define KOLO_MEMBERSHIP_CONTACTS_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/launch/launch.h"
#include "transport/tcp/port.h"

#define CONTACTS_ADDRESSES_MAX 4096
#define CONTACTS_TEXT_MAX 512
#define CONTACTS_NAMES_NS 2000000000ULL /* between two look-ups of the names */
#define CONTACTS_FOLDER_NS 20000000ULL  /* between two looks into the folder */

struct contacts {
    const struct launch *launch; /* borrowed */
    unsigned count;
    struct port_address *address;      /* [CONTACTS_ADDRESSES_MAX] */
    unsigned next_name;                /* of launch->contact: to be looked up next */
    bool numeric[LAUNCH_CONTACTS_MAX]; /* an address, not a name: looked up once is enough */
    uint64_t next_names_ns, next_folder_ns;
    char own_file[1280]; /* "" if there is none */
    char problem[256];   /* the last thing that went wrong, for a message */
};

/** Prepare; with a shared folder, leave our addresses there. `launch` must outlive it.
 *  KOLO_ERR_MEMORY, KOLO_ERR_SYSTEM (the folder cannot be written). */
kolo_status contacts_open(struct contacts *contacts, const struct launch *launch,
                          const uint8_t id[TRANSPORT_ID_BYTES], const struct port_address *own,
                          unsigned own_count);

/** Look for new addresses if it is time. Looks up one name at most, and may block in that; after a slow answer the next look-up
 *  waits four times as long, so that most of the time remains for the peers. */
void contacts_refresh(struct contacts *contacts, uint64_t now_ns);

/** The addresses at which processes of other hosts may reach this one, best first, as "10.0.0.7:4242,[2001:db8::7]:4242"; not
 *  loopback, nor link-local IPv6, which says nothing without an interface. Returns how many; 0: the text is "". A text of
 *  PORT_ADDRESSES_MAX addresses takes at most CONTACTS_TEXT_MAX bytes. */
unsigned contacts_text(char text[CONTACTS_TEXT_MAX], const struct port_address *own,
                       unsigned own_count);

/** Take our file out of the folder, free. */
void contacts_close(struct contacts *contacts);

#endif
