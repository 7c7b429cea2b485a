// The server prints times in the reader's zone from the next page on: whoever signs in here, or keeps to these pages, has not been in the inbox.
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
document.cookie = `omni_tz=${encodeURIComponent(timeZone)}; path=/; max-age=31536000; SameSite=Lax`;
