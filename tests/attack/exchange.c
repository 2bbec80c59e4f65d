/* Copyright: mobius.ops contributors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 *
 * exchange COUNTER A B [A B ...]: exchange each A with its B (renameat2), over and over, until a signal ends it.
 * COUNTER is a file of sixteen bytes: how many exchanges succeeded, and how many the system refused because the folder is not the user's.
 * At the end, every pair is as it was at the beginning.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile sig_atomic_t over;

static void end(int signal_number) {
  (void)signal_number;
  over = 1;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc % 2) return 2;
  signal(SIGTERM, end);
  int counter = open(argv[1], O_RDWR);
  if (counter < 0) return 3;
  volatile uint64_t *count = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, counter, 0);
  if (count == MAP_FAILED) return 4;
  int pairs = (argc - 2) / 2;
  char *exchanged = calloc(pairs, 1);
  for (alarm(7200); !over;)
    for (int pair = 0; pair < pairs; pair++)
      if (!renameat2(AT_FDCWD, argv[2 + 2 * pair], AT_FDCWD, argv[3 + 2 * pair], RENAME_EXCHANGE)) {
        exchanged[pair] ^= 1;
        ++count[0];
      } else if (errno == EACCES || errno == EPERM) {
        ++count[1];
      }
  for (int pair = 0; pair < pairs; pair++)
    if (exchanged[pair]) renameat2(AT_FDCWD, argv[2 + 2 * pair], AT_FDCWD, argv[3 + 2 * pair], RENAME_EXCHANGE);
  return 0;
}
