/** The message about a mistake of usage, from that of Commander. */
export function usageMessage(text: string): string {
  const message = text.replace(/^error: /, "downlease: ");
  const insecure = /unknown option '(?:-k\w*|--insecure)'/.exec(message);
  if (insecure === null || message.includes("--insecure-no-auth")) return message;
  return `downlease: ${insecure[0]}: certificates are always verified. Name the authority to trust with --ca FILE\n`;
}
