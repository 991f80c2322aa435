/** File names, usual ones and hostile ones. */
export const oddNames: Record<string, string> = {
  plain: "disk-1.vmdk",
  "of many scripts": "Zoë 李 🦉 \u202e.ova",
  "of 255 bytes": `${"ü".repeat(126)}.md`,
  "very long": "x".repeat(100_000),
  empty: "",
  blank: " ",
  "with line ends": "a\r\n$5\r\nb\n",
  "with a null": "a\0b",
  "with quotes": "' OR 1=1 -- \" ` \\",
  "a member of every object": "__proto__",
  "another member of every object": "constructor",
  "one of the session's own fields": "s",
  "one of its own marks": "r:b:x",
  "a placeholder": "%s %d {0} $1 $&",
  "a number": "42",
};
