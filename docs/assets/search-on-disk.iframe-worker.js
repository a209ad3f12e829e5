// A page that is read from a disk may start no worker. The search then runs in a hidden frame of the page, which gets
// and gives the same messages. Read over HTTP, this does nothing. (Material looks for "iframe-worker" in the name.)
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    #inner
    #ready

    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.#inner = frame.contentWindow
      this.#inner.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = this.#inner.document.createElement("script")
      script.src = new URL(url, location.href)
      this.#ready = new Promise(done => (script.onload = done))
      this.#inner.document.body.append(script)
    }

    postMessage(data) {
      this.#ready.then(() => this.#inner.dispatchEvent(new MessageEvent("message", { data })))
    }
  }
