/** Every exit code of the commands that call a service. Scripts rely on them: they are added to, never changed. */
export const exitCodes = {
  ok: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "anything else; a bug, if it comes with a stack" },
  usage: { code: 2, meaning: "the command line is wrong, or a name on it fits several items" },
  not_found: { code: 3, meaning: "no such session, item, library or file, or a session that has expired" },
  refused: { code: 4, meaning: "the server does not accept who is calling, or what they may do" },
  unreachable: { code: 5, meaning: "the server can't be reached, or does not answer in time; try again" },
  corrupt: {
    code: 6,
    meaning: "a file is not what it should be: it has changed on the server, or its checksum is wrong",
  },
  disk: { code: 7, meaning: "a file can't be read or written here: no space, no right, no such directory" },
  lease_lost: { code: 8, meaning: "the download session was canceled, failed or expired, or is not ACTIVE" },
  busy: { code: 9, meaning: "another download works in the same directory" },
  interrupted: { code: 130, meaning: "ended by Ctrl-C (SIGINT)" },
  terminated: { code: 143, meaning: "ended by SIGTERM" },
} as const satisfies Record<string, { code: number; meaning: string }>;

export type ExitName = keyof typeof exitCodes;
