/* child: a part of a test in a process of its own, for conversations with a launcher, of which a process has one. */
#ifndef KOLO_TESTS_LAUNCH_CHILD_H
#define KOLO_TESTS_LAUNCH_CHILD_H

/** Run it in a child, which ends with exit() as programs do. The test fails if an assertion in there does. */
void in_a_child(void (*act)(void));

#endif
