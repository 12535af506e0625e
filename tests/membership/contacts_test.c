/* The addresses to begin with: files in a shared folder, and names. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/membership/contacts.h"

static struct launch launch; /* 90 KiB: not for a stack */
static char folder[] = "/tmp/kolo-contacts-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    memset(&launch, 0, sizeof launch);
    strcpy(folder, "/tmp/kolo-contacts-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    strcpy(launch.folder, folder);
    return 0;
}

static unsigned each_file(void (*act)(const char *path))
{
    unsigned files = 0;
    char path[512];
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            act(path);
            files++;
        }
    }
    closedir(directory);
    return files;
}

static void leave_alone(const char *path)
{
    assert_non_null(path);
}

static void take_away(const char *path)
{
    assert_int_equal(remove(path), 0);
}

static int remove_folder(void **state)
{
    (void)state;
    each_file(take_away);
    return rmdir(folder);
}

static void write_file(const char *name, const void *bytes, size_t length)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

static struct port_address address_of(uint16_t port)
{
    struct port_address address = {0};
    address.as.v4.sin_family = AF_INET;
    address.as.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.as.v4.sin_port = htons(port);
    return address;
}

static void open_as(struct contacts *contacts, uint8_t who, uint16_t port)
{
    uint8_t id[TRANSPORT_ID_BYTES];
    memset(id, who, sizeof id);
    struct port_address own = address_of(port);
    assert_int_equal(contacts_open(contacts, &launch, id, &own, 1), KOLO_OK);
}

static bool knows(const struct contacts *contacts, const char *text)
{
    char address[PORT_ADDRESS_TEXT];
    for (unsigned i = 0; i < contacts->count; i++) {
        if (strcmp(port_address_text(address, &contacts->address[i]), text) == 0) {
            return true;
        }
    }
    return false;
}

static void peers_find_each_others_files(void **state)
{
    (void)state;
    struct contacts first, second;
    open_as(&first, 1, 1001);
    contacts_refresh(&first, 1);
    assert_int_equal(first.count, 0); /* its own does not count */
    open_as(&second, 2, 1002);
    assert_int_equal(each_file(leave_alone), 2);
    contacts_refresh(&second, 1);
    assert_int_equal(second.count, 1);
    assert_true(knows(&second, "127.0.0.1:1001"));
    contacts_refresh(&first, 2); /* not yet time to look again */
    assert_int_equal(first.count, 0);
    contacts_refresh(&first, 1 + CONTACTS_FOLDER_NS);
    assert_true(knows(&first, "127.0.0.1:1002"));
    contacts_refresh(&first, 1 + 2 * CONTACTS_FOLDER_NS);
    assert_int_equal(first.count, 1); /* once */
    contacts_close(&first);
    assert_int_equal(each_file(leave_alone), 1);
    contacts_close(&second);
    assert_int_equal(each_file(leave_alone), 0);
}

static void a_folder_is_made_if_need_be(void **state)
{
    (void)state;
    struct contacts contacts;
    assert_int_equal(rmdir(folder), 0);
    open_as(&contacts, 1, 1001);
    assert_int_equal(each_file(leave_alone), 1);
    contacts_close(&contacts);
}

static void files_of_others_are_passed_over(void **state)
{
    (void)state;
    struct contacts contacts;
    write_file("kolo-1.peer.new", "127.0.0.1:1\n", 12); /* half-written */
    write_file("notes.txt", "127.0.0.1:2\n", 12);
    write_file("kolo-.peer~", "127.0.0.1:3\n", 12);
    write_file(".peer", "127.0.0.1:4\n", 12);
    write_file("kolo-0000000000000009.peer", "127.0.0.1:9\n[::1]:10\n", 21);
    open_as(&contacts, 1, 1001);
    contacts_refresh(&contacts, 1);
    assert_int_equal(contacts.count, 2);
    assert_true(knows(&contacts, "127.0.0.1:9"));
    assert_true(knows(&contacts, "[::1]:10"));
    contacts_close(&contacts);
    char path[512];
    snprintf(path, sizeof path, "%s/.peer", folder);
    take_away(path);
}

static void garbage_in_a_file_is_passed_over(void **state)
{
    (void)state;
    static const char *const lines[] = {"",
                                        "\n",
                                        ":\n",
                                        "127.0.0.1\n",
                                        "127.0.0.1:\n",
                                        "127.0.0.1:0\n",
                                        "127.0.0.1:65536\n",
                                        "[",
                                        "]:5",
                                        "[]:5\n",
                                        "[:5\n",
                                        "127.0.0.1:-4\n",
                                        "no.such.name.invalid:80\n",
                                        ":5\n",
                                        "127.0.0.1:99999999999999999999\n",
                                        "[::1:5\n",
                                        "::\n"};
    struct contacts contacts;
    char name[64], noise[4096];
    unsigned seed = 7;
    for (unsigned i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        snprintf(name, sizeof name, "kolo-%u.peer", i);
        write_file(name, lines[i], strlen(lines[i]));
    }
    for (size_t i = 0; i < sizeof noise; i++) {
        seed = seed * 1103515245u + 12345u;
        noise[i] = (char)(seed >> 16);
    }
    write_file("kolo-noise.peer", noise, sizeof noise);
    memset(noise, 'x', sizeof noise); /* a line without an end, with an address inside */
    write_file("kolo-long.peer", noise, sizeof noise);
    write_file("kolo-zeros.peer", "\0\0\0:5\n", 7);
    open_as(&contacts, 1, 1001);
    contacts_refresh(&contacts, 1);
    assert_false(knows(&contacts, "127.0.0.1:0"));
    for (unsigned i = 0; i < contacts.count;
         i++) { /* an empty name means this host: nobody may be dialled by it */
        char text[PORT_ADDRESS_TEXT];
        print_error("garbage was taken for %s\n", port_address_text(text, &contacts.address[i]));
    }
    assert_int_equal(contacts.count, 0);
    contacts_close(&contacts);
}

static void a_folder_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct contacts contacts;
    uint8_t id[TRANSPORT_ID_BYTES] = {1};
    struct port_address own = address_of(1);
    snprintf(launch.folder, sizeof launch.folder, "%s/file/below", folder);
    write_file("file", "x", 1);
    assert_int_equal(contacts_open(&contacts, &launch, id, &own, 1), KOLO_ERR_SYSTEM);
    assert_non_null(strstr(kolo_last_error(), launch.folder));
    strcpy(launch.folder,
           "/proc/self/fdinfo"); /* exists, and nobody may write there, not even root */
    assert_int_equal(contacts_open(&contacts, &launch, id, &own, 1), KOLO_ERR_SYSTEM);
    assert_non_null(strstr(kolo_last_error(), "KOLO_PEERS"));
}

static void the_longest_folder_name_fits(void **state)
{
    (void)state;
    struct contacts contacts;
    uint8_t id[TRANSPORT_ID_BYTES] = {1};
    struct port_address own = address_of(1);
    memset(launch.folder, '/', sizeof launch.folder - 1); /* slashes count as one */
    memcpy(launch.folder, "/proc", 5);
    assert_int_equal(contacts_open(&contacts, &launch, id, &own, 1), KOLO_ERR_SYSTEM);
}

static void a_folder_that_went_away_is_a_problem_to_tell(void **state)
{
    (void)state;
    struct contacts contacts;
    open_as(&contacts, 1, 1001);
    each_file(take_away);
    assert_int_equal(rmdir(folder), 0);
    contacts_refresh(&contacts, 1);
    assert_non_null(strstr(contacts.problem, folder));
    contacts_close(&contacts);
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void names_become_addresses(void **state)
{
    (void)state;
    struct contacts contacts;
    launch.folder[0] = '\0';
    launch.contacts = 3;
    strcpy(launch.contact[0].host, "127.0.0.1");
    launch.contact[0].port = 5;
    strcpy(launch.contact[1].host, "::1");
    launch.contact[1].port = 6;
    strcpy(launch.contact[2].host, "localhost");
    launch.contact[2].port = 5;
    open_as(&contacts, 1, 1001);
    contacts_refresh(&contacts, 1);
    assert_true(knows(&contacts, "127.0.0.1:5"));
    assert_true(knows(&contacts, "[::1]:6"));
    assert_true(contacts.count <= 3); /* localhost adds [::1]:5 at most */
    unsigned count = contacts.count;
    contacts_refresh(&contacts, 1 + CONTACTS_NAMES_NS);
    assert_int_equal(contacts.count, count);
    contacts_close(&contacts);
}

static void a_name_without_address_is_a_problem_to_tell(void **state)
{
    (void)state;
    struct contacts contacts;
    launch.folder[0] = '\0';
    launch.contacts = 1;
    strcpy(launch.contact[0].host, "300.300.300.300");
    launch.contact[0].port = 5;
    open_as(&contacts, 1, 1001);
    contacts_refresh(&contacts, 1);
    assert_int_equal(contacts.count, 0);
    assert_non_null(strstr(contacts.problem, "300.300.300.300"));
    contacts_close(&contacts);
}

#define test_in_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    setenv("KOLO_LOG", "none", 0);
    const struct CMUnitTest tests[] = {
        test_in_folder(peers_find_each_others_files),
        test_in_folder(a_folder_is_made_if_need_be),
        test_in_folder(files_of_others_are_passed_over),
        test_in_folder(garbage_in_a_file_is_passed_over),
        test_in_folder(a_folder_that_cannot_be_written_is_an_error),
        test_in_folder(the_longest_folder_name_fits),
        test_in_folder(a_folder_that_went_away_is_a_problem_to_tell),
        test_in_folder(names_become_addresses),
        test_in_folder(a_name_without_address_is_a_problem_to_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
