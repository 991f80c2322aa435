/** Every exit code of the commands that call a service. Scripts rely on them: codes may be added, but never change. */
export const exitCodes = {
  ok: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "any other failure; a bug if a stack trace is printed" },
  usage: {
    code: 2,
    meaning:
      "the command line is wrong, a name on it matches several items, or its URL is not that of a downlease server",
  },
  not_found: { code: 3, meaning: "no such session, item, library or file, or a session that has expired" },
  refused: { code: 4, meaning: "the server rejects the credentials, or the caller lacks permission" },
  unreachable: { code: 5, meaning: "the server is unreachable or does not answer in time; try again" },
  corrupt: {
    code: 6,
    meaning: "a file is wrong: it has changed on the server, or its checksum does not match",
  },
  disk: {
    code: 7,
    meaning:
      "a local file or the output can't be read or written: no space, no permission, no such directory",
  },
  lease_lost: { code: 8, meaning: "the download session was canceled, failed or expired, or is not ACTIVE" },
  busy: { code: 9, meaning: "another download is running in the same directory" },
  hung_up: { code: 129, meaning: "ended by SIGHUP: the terminal or the connection to it is gone" },
  interrupted: { code: 130, meaning: "ended by Ctrl-C (SIGINT)" },
  broken_pipe: {
    code: 141,
    meaning: "the reader of `get --output -` has closed its end before the file was complete",
  },
  terminated: { code: 143, meaning: "ended by SIGTERM" },
} as const satisfies Record<string, { code: number; meaning: string }>;

export type ExitName = keyof typeof exitCodes;
