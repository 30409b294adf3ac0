class S3dav < Formula
  desc "$summary"
  homepage "$homepage"
  version "$version"
  license any_of: ["MIT", "Apache-2.0"]

$systems
  def install
    bin.install "s3dav"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/s3dav.bash" => "s3dav"
    fish_completion.install "completions/s3dav.fish"
    zsh_completion.install "completions/s3dav.zsh" => "_s3dav"
    pkgshare.install "licences"
  end

  def caveats
    <<~EOS
      A mount at every login:
        s3dav service install BUCKET
      `brew services start s3dav` serves, without mounting it, what this file names:
        ~/.config/s3dav/config.toml
    EOS
  end

  service do
    run [opt_bin/"s3dav", "serve"]
    keep_alive crashed: true
    log_path var/"log/s3dav.log"
    error_log_path var/"log/s3dav.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/s3dav --version")
  end
end
